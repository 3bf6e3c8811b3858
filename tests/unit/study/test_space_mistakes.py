"""Every mistake in a search space is named with its line, what was got, what is allowed and the nearest right name.

Long because most of it is one table: a mistake a row, and its message to the letter.
"""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space.load import load_search_space

RIGHT = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.2}
  train_seconds: {direction: minimize, reference: 100}
fixed:
  encoder: tiny
search:
  learning_rate: {loguniform: [1e-5, 1e-3]}
  adapter.kind: {choice: [none, lora]}
trials: 4
"""
TOP_KEYS = (
    "name, question, paper_table, objectives, fixed, experiments, search, algorithm, scheduler, halving, probe, "
    "points_to_evaluate, warm_start_from, trials, time_budget_minutes, seed, resources"
)
KINDS = "choice, uniform, loguniform, int, grid"
METRICS = (
    "sst, quora, sts, dev_score, leaderboard_score, train_loss, peak_memory_gib, peak_allocated_gib, "
    "gpu_utilization_mean, gpu_utilization_peak, energy_kj, gpu_seconds, peak_rss_gib, cpu_seconds, train_seconds, "
    "eval_seconds, train_once_seconds, eval_once_seconds, trainable_parameters, trainable_percent"
)


def mistakes(text: str | bytes, folder: Path, **options) -> list[str]:
    """Return the mistakes of a file, its own path shown as `F`."""
    path = folder / "space.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_search_space(path, **options)
    return [problem.replace(str(path), "F") for problem in caught.value.problems]


def test_an_option_that_empties_the_search_is_refused(tmp_path):
    expected = ["--set search={}: search is empty; it needs at least one parameter"]
    assert mistakes(RIGHT, tmp_path, overrides=["search={}"]) == expected


@pytest.mark.parametrize(
    ("key", "shown"), [("~", "null"), ("true", "true"), ("1.5", "1.5"), ("? [a, b]\n  ", "[a, b]")]
)
@pytest.mark.parametrize("section", ["fixed", "search"])
def test_a_key_that_is_no_text_is_shown_as_yaml_has_it(tmp_path, section, key, shown):
    line = RIGHT.splitlines().index(f"{section}:") + 2
    text = RIGHT.replace(f"{section}:\n", f"{section}:\n  {key}: {{choice: [1]}}\n")
    [problem] = mistakes(text, tmp_path)
    assert problem.startswith(f"F:{line}: unknown key '{section}.{shown}'")


def test_the_space_that_all_others_spoil_is_right(tmp_path: Path):
    path = tmp_path / "space.yaml"
    path.write_text(RIGHT)
    assert load_search_space(path).hyperparameters == ("learning_rate", "adapter.kind")


def replaced(line_number: int, *lines: str) -> str:
    """Return RIGHT with one line, counted from 1, in other words."""
    all_lines = RIGHT.splitlines()
    all_lines[line_number - 1 : line_number] = lines
    return "\n".join(all_lines) + "\n"


@pytest.mark.parametrize(
    ("line_number", "lines", "expected"),
    [
        (10, ["trails: 4", "trials: 4"], [f"F:10: unknown key 'trails'; did you mean 'trials'? ({TOP_KEYS})"]),
        (10, ["trials: 0"], ["F:10: trials has 0; must be greater than or equal to 1"]),
        (10, ["trials: four"], ["F:10: trials has 'four'; must be a whole number"]),
        (10, ["trials: true"], ["F:10: trials has true; must be a whole number"]),
        (
            10,
            ["trials: 4", "algorithm: tpee"],
            ["F:11: algorithm has 'tpee'; did you mean 'tpe'? (random, grid, tpe, nsga2, gp, front)"],
        ),
        (10, ["trials: 4", "seed: -1"], ["F:11: seed has -1; must be greater than or equal to 0"]),
        (
            1,
            ["name: ../escape"],
            [
                "F:1: name has '../escape'; must begin with a letter or a digit and hold only letters, digits, '_', "
                "'.' and '-', at most 80, as escape"
            ],
        ),
        (
            6,
            ["  encodr: tiny"],
            [
                "F:6: unknown key 'fixed.encodr'; did you mean 'fixed.encoder'? (experiment, encoder, pooling, "
                "pair_encoding, hidden_layers, dropout, encoder_dropout, finetune, adapter, smart, init_from, tasks, "
                "data, task_order, batch_size, accumulation_steps, learning_rate, learning_rate_scaling, "
                "base_batch_size, weight_decay, max_grad_norm, schedule, warmup_fraction, epochs, precision, seed, "
                "resources, profile)"
            ],
        ),
        (6, ["  epochs: 2.5"], ["F:6: fixed.epochs has 2.5; must be a whole number"]),
        (6, ["  adapter:", "    rank: 0"], ["F:7: fixed.adapter.rank has 0; must be greater than or equal to 1"]),
        (6, ["  adapter: lora"], ["F:6: fixed.adapter has 'lora'; must be a mapping"]),
        (
            6,
            ["  resources.num_workers: 2"],
            ["F:6: fixed.resources.num_workers belongs under the top-level key 'resources'"],
        ),
        (
            6,
            ["  learning_rate: 1e-4"],
            ["F:8: 'learning_rate' is both searched and fixed (at F:6); keep one"],
        ),
        (
            9,
            ["  adapter.rnk: {choice: [2, 4]}"],
            [
                "F:9: unknown key 'search.adapter.rnk'; did you mean 'search.adapter.rank'? "
                "(kind, library, rank, alpha, dropout, target_modules, rslora, initialization, learning_rate_ratio)"
            ],
        ),
        (
            9,
            ["  adapter.kind:", "    choice:", "      - none", "      - lroa"],
            ["F:12: search.adapter.kind has 'lroa'; did you mean 'lora'? (none, lora, dora, vera)"],
        ),
        (9, ["  adapter.rank: {choice: ['8']}"], ["F:9: search.adapter.rank has '8'; must be a whole number"]),
        (9, ["  adapter.rank: {choice: []}"], ["F:9: search.adapter.rank.choice is empty; list at least one value"]),
        (9, ["  adapter.rank: {choice: 8}"], ["F:9: search.adapter.rank.choice has 8; must be a list of values"]),
        (9, ["  adapter.rank: {choice: [8, 8]}"], ["F:9: search.adapter.rank has 8 twice"]),
        (
            9,
            ["  hidden_layers: {choice: [{1: 2}]}"],
            ["F:9: search.hidden_layers has {1: 2}; its keys must be texts"],
        ),
        (
            9,
            ["  adapter.rank: 8"],
            [
                f"F:9: search.adapter.rank has 8; must be a mapping with one of {KINDS}, as {{choice: [..]}}; a value "
                "that never changes belongs under fixed"
            ],
        ),
        (
            9,
            ["  adapter.rank: {chioce: [8]}"],
            [f"F:9: search.adapter.rank has the unknown kind 'chioce'; did you mean 'choice'? ({KINDS})"],
        ),
        (
            9,
            ["  adapter.rank: {choice: [8], int: [1, 2]}"],
            ["F:9: search.adapter.rank has several kinds (choice, int); keep one"],
        ),
        (9, ["  dropout: {uniform: [0, 1], log: true}"], ["F:9: search.dropout.log goes with int only"]),
        (
            9,
            ["  dropout: {uniform: [0.5, 0.1]}"],
            ["F:9: search.dropout.uniform has [0.5, 0.1]: the bounds are reversed; must be [lowest, highest]"],
        ),
        (
            9,
            ["  dropout: {uniform: [0.1, 0.1]}"],
            ["F:9: search.dropout.uniform has [0.1, 0.1]: the bounds are equal; must be [lowest, highest]"],
        ),
        (9, ["  dropout: {uniform: [0.5, 1.5]}"], ["F:9: search.dropout.uniform has 1.5; must be less than 1"]),
        (
            9,
            ["  dropout: {uniform: [-0.5, 0.5]}"],
            ["F:9: search.dropout.uniform has -0.5; must be greater than or equal to 0"],
        ),
        (
            9,
            ["  dropout: {uniform: [low, 0.5]}"],
            ["F:9: search.dropout.uniform has ['low', 0.5]; must be two numbers, [lowest, highest]"],
        ),
        (
            9,
            ["  weight_decay: {uniform: [0, .inf]}"],
            ["F:9: search.weight_decay.uniform has inf; must be a finite number"],
        ),
        (
            9,
            ["  weight_decay: {loguniform: [.nan, 1]}"],
            ["F:9: search.weight_decay.loguniform has nan; must be a finite number"],
        ),
        (
            9,
            [f"  weight_decay: {{loguniform: [0.1, 1{'0' * 400}]}}"],
            ["F:9: search.weight_decay.loguniform has 1" + "0" * 159 + "...; must be less than or equal to 1000000"],
        ),
        (
            9,
            ["  weight_decay: {loguniform: [0, 0.1]}"],
            ["F:9: search.weight_decay.loguniform has 0 as its lowest; a logarithmic scale needs more than 0"],
        ),
        (
            9,
            ["  epochs: {uniform: [1, 5]}"],
            ["F:9: search.epochs.uniform draws fractions, but epochs is a whole number; use {int: [1, 5]}"],
        ),
        (
            9,
            ["  epochs: {int: [1, 5.5]}"],
            ["F:9: search.epochs.int has [1, 5.5]; must be two whole numbers, [lowest, highest]"],
        ),
        (
            9,
            ["  epochs: {int: [1, 8], step: 2, log: true}"],
            ["F:9: search.epochs.int has log and step; a logarithmic scale has no step"],
        ),
        (
            9,
            ["  resources.num_workers: {choice: [1, 2]}"],
            [
                "F:9: search.resources.num_workers cannot be searched: it is the same for a whole sweep; "
                "set it under resources"
            ],
        ),
        (
            9,
            ["  data.max_length: {choice: [64, 128]}"],
            ["F:9: search.data.max_length cannot be searched: it is the same for a whole sweep; set it under fixed"],
        ),
        (
            9,
            ["  tasks: {choice: [[sst]]}"],
            ["F:9: search.tasks cannot be searched: it is the same for a whole sweep; set it under fixed"],
        ),
        (
            3,
            ["  dev_scor: {direction: maximize, reference: 0.2}"],
            [f"F:3: objectives has the unknown metric 'dev_scor'; did you mean 'dev_score'? ({METRICS})"],
        ),
        (
            3,
            ["  dev_score: {direction: maximize, reference: 0.2}"],
            ["F:3: objectives.dev_score.direction has 'maximize'; did you mean 'maximize'? (maximize, minimize)"],
        ),
        (3, ["  dev_score: {direction: maximize}"], ["F:3: objectives.dev_score has no reference"]),
        (
            3,
            ["  dev_score: {direction: maximize, reference: .nan}"],
            ["F:3: objectives.dev_score.reference has nan; must be a finite number"],
        ),
        (
            4,
            ["  train_seconds: {direction: minimize, reference: 100, constraint: 200}"],
            [
                "F:4: objectives.train_seconds.constraint 200.0 is looser than the reference 100.0: no trial between "
                "them would count; set the reference at the constraint or beyond"
            ],
        ),
        (
            4,
            ["  peak_memory_gib: {direction: minimize, reference: 9, fallback: energy_kj}"],
            ["F:4: objectives.peak_memory_gib.fallback: energy_kj needs a GPU itself"],
        ),
        (
            4,
            ["  peak_memory_gib: {direction: minimize, reference: 9, fallback: cpu_seconds}"],
            [
                "F:4: objectives.peak_memory_gib.fallback: peak_memory_gib is in GiB, cpu_seconds in s; a stand-in "
                "needs the same unit"
            ],
        ),
        (
            9,
            ["  adapter.rank: {choice: [2], when: {adapter.knd: lora}}", "  adapter.kind: {choice: [none, lora]}"],
            [
                "F:9: search.adapter.rank.when names 'adapter.knd', which is neither searched nor fixed; "
                "did you mean 'adapter.kind'?"
            ],
        ),
        (
            9,
            ["  adapter.kind: {choice: [none, lora]}", "  adapter.rank: {choice: [2], when: {adapter.kind: [lroa]}}"],
            [
                "F:10: search.adapter.rank.when.adapter.kind has 'lroa', which adapter.kind never takes; "
                "did you mean 'lora'? (none, lora)"
            ],
        ),
        (
            9,
            ["  adapter.rank: {choice: [2], when: {encoder: minilm}}"],
            ["F:9: search.adapter.rank.when.encoder never holds: encoder is fixed at 'tiny'"],
        ),
        (
            9,
            ["  dropout: {choice: [0.1], when: {learning_rate: 1e-4}}"],
            [
                "F:9: search.dropout.when names 'learning_rate', which is drawn from a range; "
                "a condition needs listed values"
            ],
        ),
        (
            9,
            [
                "  epochs: {choice: [1, 2], when: {batch_size: 16}}",
                "  batch_size: {choice: [16, 32], when: {adapter.rank: 2}}",
                "  adapter.rank: {choice: [2, 4], when: {epochs: 1}}",
                "  dropout: {choice: [0.1, 0.2], when: {epochs: 1}}",
            ],
            ["F:9: search.epochs.when: conditions run in a circle: epochs -> batch_size -> adapter.rank -> epochs"],
        ),
        (
            10,
            ["algorithm: grid"],
            [
                "F:8: search.learning_rate is a range, which algorithm grid cannot list; use {grid: [..]} or another "
                "algorithm"
            ],
        ),
        (
            10,
            ["trials: 4", "resources: {num_wrkers: 2}"],
            [
                "F:11: unknown key 'resources.num_wrkers'; did you mean 'resources.num_workers'? (num_workers, "
                "gpus_per_worker, cpus_per_worker, launcher, concurrent_trials)"
            ],
        ),
        (
            10,
            ["trials: 4", "resources: {num_workers: 2, launcher: inline}"],
            ["F:11: resources.launcher 'inline' has one worker, got num_workers 2; use 'train'"],
        ),
        (
            10,
            ["trials: 4", "trials: 5", "name: again"],
            [
                "F:11: duplicate key 'trials'; it stands on line 10 already",
                "F:12: duplicate key 'name'; it stands on line 1 already",
            ],
        ),
        (
            9,
            ["  learning_rate: {choice: [1e-5]}"],
            ["F:9: duplicate key 'search.learning_rate'; it stands on line 8 already"],
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, line_number: int, lines: list[str], expected: list[str]):
    assert mistakes(replaced(line_number, *lines), tmp_path) == expected


def test_several_mistakes_come_together_in_the_order_of_the_file(tmp_path: Path):
    text = """\
question: why?
objectives:
  dev_scor: {direction: maximize, reference: 0.2}
  train_seconds: {direction: minimize, refrence: 100}
fixed: {epochs: 0}
search:
  adapter.kind: {choice: [none, lroa]}
  adapter.rank: {int: [8, 2]}
trials: -1
"""
    assert mistakes(text, tmp_path, overrides=["adapter.rnk=4", "epochs"]) == [
        "F: missing key 'name': what the sweep is called, as `name: lora_rank`",
        f"F:3: objectives has the unknown metric 'dev_scor'; did you mean 'dev_score'? ({METRICS})",
        "F:4: objectives.train_seconds.direction has 'minimize'; did you mean 'minimize'? (maximize, minimize)",
        "F:4: unknown key 'objectives.train_seconds.refrence'; did you mean 'objectives.train_seconds.reference'? "
        "(direction, reference, constraint, attainable, fallback)",
        "F:4: objectives.train_seconds has no reference",
        "F:5: fixed.epochs has 0; must be greater than or equal to 1",
        "F:7: search.adapter.kind has 'lroa'; did you mean 'lora'? (none, lora, dora, vera)",
        "F:8: search.adapter.rank.int has [8, 2]: the bounds are reversed; must be [lowest, highest]",
        "F:9: trials has -1; must be greater than or equal to 1",
        "--set adapter.rnk=4: unknown key 'adapter.rnk'; did you mean 'adapter.rank'?",
        "--set epochs: must be KEY=VALUE, as in --set epochs=3",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "F: is empty; a search space needs name, objectives, search and trials"),
        ("# nothing\n", "F: is empty; a search space needs name, objectives, search and trials"),
        (
            "- a\n- b\n",
            "F:1: must be a mapping of keys to values, got a list; take out the '- ' in front of the keys",
        ),
        (
            "just words\n",
            "F:1: must be a mapping of keys to values, got the single value 'just words'; between a key and its value "
            "stand a colon and a space, as in 'epochs: 3'",
        ),
        ("name: a\nsearch: [1, 2\n", "F:2:9: the '[' that opens here is not closed by a ']', in `search: [1, 2`"),
        ("name: a\nsearch: b: c\n", "F:2:9: a value that holds ': ' must stand in quotes, in `search: b: c`"),
        (b"\x80\x02PK\x00", "F: not a text file (byte 0x80 is not UTF-8)"),
        (b"PK\x03\x04\x00", "F:1:3: an invisible control character stands here; take it out, in `PK???`"),
    ],
)
def test_a_file_that_is_no_search_space(tmp_path: Path, text: str | bytes, expected: str):
    assert mistakes(text, tmp_path) == [expected]


def test_a_missing_file_and_a_folder(tmp_path: Path):
    (tmp_path / "peft.yaml").write_text(RIGHT)
    with pytest.raises(ConfigError) as caught:
        load_search_space(tmp_path / "pfet.yaml")
    assert caught.value.problems == (f"{tmp_path}/pfet.yaml: no such file; did you mean 'peft.yaml'?",)
    with pytest.raises(ConfigError) as caught:
        load_search_space(tmp_path)
    assert caught.value.problems == (f"{tmp_path}: is a folder; give one of its YAML files (peft.yaml)",)


def test_open_sections(tmp_path: Path):
    assert mistakes("name: a\nobjectives: {}\nsearch: {}\ntrials: 1\n", tmp_path) == [
        "F:2: objectives has {}; must be a mapping of at least one metric",
        "F:3: search is empty; it needs at least one parameter",
    ]
    assert mistakes("name: a\nfixed: 3\nsearch: [dropout]\n", tmp_path) == [
        "F: missing key 'objectives': a metric each, as `dev_score: {direction: maximize, reference: 0.5}`",
        "F: missing key 'trials' (how many to run) or 'time_budget_minutes'; give one or both",
        "F:2: fixed has 3; must be a mapping of a trial's keys",
        "F:3: search has ['dropout']; must be a mapping of a trial's keys",
    ]


def test_two_objectives_may_not_become_one_without_a_gpu(tmp_path: Path):
    text = replaced(4, "  peak_memory_gib: {direction: minimize, reference: 9, fallback: peak_rss_gib}").replace(
        "fixed:", "  peak_rss_gib: {direction: minimize, reference: 9}\nfixed:"
    )
    assert mistakes(text, tmp_path) == [
        "F:4: objectives.peak_memory_gib.fallback: peak_rss_gib is another objective already; without a GPU there "
        "would be one axis fewer"
    ]


def test_an_alias_to_its_own_parent_ends(tmp_path: Path):
    text = replaced(9, "  dropout: {choice: &loop [*loop]}")
    assert mistakes(text, tmp_path) == [
        "F:9:21: an alias (*) stands inside what it is an alias of, in `dropout: {choice: &loop [*loop]}`"
    ]


def test_a_grid_too_large_to_list(tmp_path: Path):
    text = replaced(8, "  learning_rate: {grid: [1e-5]}", "  epochs: {int: [1, 20000]}").replace(
        "trials: 4", "algorithm: grid"
    )
    assert mistakes(text, tmp_path) == ["F:11: the grid has more than 10000 settings; use another algorithm"]


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_spoilt_file_never_ends_in_a_traceback(tmp_path: Path):
    rng = random.Random(0)
    pieces = ["{", "}", "[", "]", ":", ",", "- ", "null", "1e999", "-1", "&a ", "*a", "? ", "<<: ", "\n", "\t", "~"]
    pieces += ["!!set ", "2024-01-01", "{1: 2}", "[]", "when: {adapter.kind: 3}", "int: [1, 2]", "search:", "fixed:"]
    path = tmp_path / "space.yaml"
    for _ in range(300):
        text = RIGHT
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(pieces) + text[start + rng.choice([0, 0, 1, 3, 8]) :]
        path.write_text(text)
        with suppress(ConfigError):
            load_search_space(path)


class TestCombinations:
    def test_a_clash_names_the_values_and_a_condition_that_mends_it(self, tmp_path: Path):
        text = replaced(9, "  adapter.kind: {choice: [none, lora]}", "  finetune: {choice: [full, heads_only]}")
        assert mistakes(text, tmp_path) == [
            "F:10: search.finetune: finetune heads_only freezes the encoder, so adapter.kind lora has no use "
            "(drawn together: adapter.kind 'lora', finetune 'heads_only'); "
            "add `when: {adapter.kind: 'none'}` to search.finetune"
        ]
        path = tmp_path / "mended.yaml"
        path.write_text(text.replace("heads_only]", "heads_only], when: {adapter.kind: 'none'}"))
        assert load_search_space(path).num_trials == 4

    def test_each_clashing_pair_is_named_once(self, tmp_path: Path):
        text = replaced(9, "  adapter.kind: {choice: [none, lora, dora]}", "  finetune: {choice: [full, heads_only]}")
        found = mistakes(text, tmp_path)
        assert [("lora has" in line, "dora has" in line) for line in sorted(found)] in (
            [(False, True), (True, False)],
            [(True, False), (False, True)],
        )

    def test_a_value_that_is_always_wrong(self, tmp_path: Path):
        text = replaced(9, "  hidden_layers: {choice: [1, {sst: 1, quora: 2}]}")
        assert mistakes(text, tmp_path) == [
            "F:9: search.hidden_layers: hidden_layers names ['quora', 'sst'], the tasks are ['quora', 'sst', 'sts']; "
            "take {sst: 1, quora: 2} out of search.hidden_layers"
        ]

    def test_fixed_values_that_fail_whatever_is_drawn(self, tmp_path: Path):
        assert mistakes(replaced(6, "  data.source: course"), tmp_path) == [
            "F:6: fixed.data.source 'course' needs directory; give --data DIR, the folder of the course's files"
        ]
