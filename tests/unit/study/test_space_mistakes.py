"""Every mistake in a search space is named with its line, its key and its kind, all of them at once."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from mistake_cases import SPACE, SPACE_MISTAKES, fields, replaced

from mtbert_ray.errors import ConfigError, Mistake
from mtbert_ray.study.space.load import load_search_space


def mistakes(text: str | bytes, folder: Path, **options) -> tuple[Mistake, ...]:
    path = folder / "space.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_search_space(path, **options)
    assert all(problem.startswith(f"{problem.place}: ") for problem in caught.value.problems)
    return caught.value.problems


def test_an_option_that_empties_the_search_is_refused(tmp_path):
    [problem] = mistakes(SPACE, tmp_path, overrides=["search={}"])
    assert (problem.place, problem.code) == ("--set search={}", "option")


@pytest.mark.parametrize(
    ("key", "shown"), [("~", "null"), ("true", "true"), ("1.5", "1.5"), ("? [a, b]\n  ", "[a, b]")]
)
@pytest.mark.parametrize("section", ["fixed", "search"])
def test_a_key_that_is_no_text_is_shown_as_yaml_has_it(tmp_path, section, key, shown):
    line = SPACE.splitlines().index(f"{section}:") + 2
    text = SPACE.replace(f"{section}:\n", f"{section}:\n  {key}: {{choice: [1]}}\n")
    assert fields(mistakes(text, tmp_path)) == [(line, f"{section}.{shown}", "unknown_key")]


def test_the_space_that_all_others_spoil_is_right(tmp_path: Path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    assert load_search_space(path).hyperparameters == ("learning_rate", "adapter.kind")


@pytest.mark.parametrize(("line_number", "lines", "expected"), SPACE_MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, line_number: int, lines: list[str], expected: list):
    assert fields(mistakes(replaced(line_number, *lines), tmp_path)) == expected


def test_several_mistakes_come_together_in_the_order_of_the_file(tmp_path: Path):
    text = """\
question: why?
objectives:
  dev_scor: {direction: maximize, reference: 0.2}
  train_seconds: {direction: minimze, refrence: 100}
fixed: {epochs: 0}
search:
  adapter.kind: {choice: [none, lroa]}
  adapter.rank: {int: [8, 2]}
trials: -1
"""
    assert fields(mistakes(text, tmp_path, overrides=["adapter.rnk=4", "epochs"])) == [
        (None, "name", "missing_key"),
        (3, "objectives.dev_scor", "unknown_metric"),
        (4, "objectives.train_seconds.direction", "not_allowed"),
        (4, "objectives.train_seconds.refrence", "unknown_key"),
        (4, "objectives.train_seconds.reference", "missing_key"),
        (5, "fixed.epochs", "out_of_bounds"),
        (7, "search.adapter.kind.choice.1", "not_allowed"),
        (8, "search.adapter.rank.int", "out_of_bounds"),
        (9, "trials", "out_of_bounds"),
        (None, "", "unknown_key"),
        (None, "", "option"),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "space.yaml"),
        ("# nothing\n", "space.yaml"),
        ("- a\n- b\n", "space.yaml:1"),
        ("just words\n", "space.yaml:1"),
        ("name: a\nsearch: [1, 2\n", "space.yaml:2:9"),
        ("name: a\nsearch: b: c\n", "space.yaml:2:9"),
        (b"\x80\x02PK\x00", "space.yaml"),
        (b"PK\x03\x04\x00", "space.yaml:1:3"),
    ],
)
def test_a_file_that_is_no_search_space(tmp_path: Path, text: str | bytes, place: str):
    [problem] = mistakes(text, tmp_path)
    assert problem.startswith(f"{tmp_path}/{place}: ")


def test_a_missing_file_and_a_folder(tmp_path: Path):
    (tmp_path / "peft.yaml").write_text(SPACE)
    with pytest.raises(ConfigError) as caught:
        load_search_space(tmp_path / "pfet.yaml")
    assert caught.value.problems == (f"{tmp_path}/pfet.yaml: no such file; did you mean 'peft.yaml'?",)
    with pytest.raises(ConfigError) as caught:
        load_search_space(tmp_path)
    assert caught.value.problems == (f"{tmp_path}: is a folder; give one of its YAML files (peft.yaml)",)


def test_open_sections(tmp_path: Path):
    assert fields(mistakes("name: a\nobjectives: {}\nsearch: {}\ntrials: 1\n", tmp_path)) == [
        (2, "objectives", "wrong_type"),
        (3, "search", "out_of_bounds"),
    ]
    assert fields(mistakes("name: a\nfixed: 3\nsearch: [dropout]\n", tmp_path)) == [
        (None, "objectives", "missing_key"),
        (None, "trials", "missing_key"),
        (2, "fixed", "wrong_type"),
        (3, "search", "wrong_type"),
    ]


def test_two_objectives_may_not_become_one_without_a_gpu(tmp_path: Path):
    text = replaced(4, "  peak_memory_gib: {direction: minimize, reference: 9, fallback: peak_rss_gib}").replace(
        "fixed:", "  peak_rss_gib: {direction: minimize, reference: 9}\nfixed:"
    )
    assert fields(mistakes(text, tmp_path)) == [(4, "objectives.peak_memory_gib.fallback", "invalid")]


def test_an_alias_to_its_own_parent_ends(tmp_path: Path):
    text = replaced(9, "  dropout: {choice: &loop [*loop]}")
    [problem] = mistakes(text, tmp_path)
    assert (problem.line, problem.code) == (9, "syntax")
    assert "alias" in problem


def test_a_grid_too_large_to_list(tmp_path: Path):
    text = replaced(8, "  learning_rate: {grid: [1e-5]}", "  epochs: {int: [1, 20000]}").replace(
        "trials: 4", "algorithm: grid"
    )
    assert fields(mistakes(text, tmp_path)) == [(11, "algorithm", "out_of_bounds")]


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_spoilt_file_never_ends_in_a_traceback(tmp_path: Path):
    rng = random.Random(0)
    pieces = ["{", "}", "[", "]", ":", ",", "- ", "null", "1e999", "-1", "&a ", "*a", "? ", "<<: ", "\n", "\t", "~"]
    pieces += ["!!set ", "2024-01-01", "{1: 2}", "[]", "when: {adapter.kind: 3}", "int: [1, 2]", "search:", "fixed:"]
    path = tmp_path / "space.yaml"
    for _ in range(300):
        text = SPACE
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(pieces) + text[start + rng.choice([0, 0, 1, 3, 8]) :]
        path.write_text(text)
        with suppress(ConfigError):
            load_search_space(path)


class TestCombinations:
    def test_a_clash_names_the_values_and_a_condition_that_mends_it(self, tmp_path: Path):
        text = replaced(9, "  adapter.kind: {choice: [none, lora]}", "  finetune: {choice: [full, heads_only]}")
        [problem] = mistakes(text, tmp_path)
        assert (problem.line, problem.key) == (10, "search.finetune")
        assert "add `when: {adapter.kind: 'none'}` to search.finetune" in problem
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
        [problem] = mistakes(replaced(9, "  hidden_layers: {choice: [1, {sst: 1, quora: 2}]}"), tmp_path)
        assert (problem.line, problem.key) == (9, "search.hidden_layers")
        assert "take {sst: 1, quora: 2} out of" in problem

    def test_fixed_values_that_fail_whatever_is_drawn(self, tmp_path: Path):
        [problem] = mistakes(replaced(6, "  data.source: course"), tmp_path)
        assert (problem.line, problem.key) == (6, "fixed.data.source")
        assert "--data DIR" in problem
