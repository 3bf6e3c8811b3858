"""Mistakes in search spaces and in configs: what is written, and the line, the key and the code of each mistake.

Their sentences are in `tests/unit/messages.txt`.
"""

# ruff: noqa: E501  # A mistake a row.
# fmt: off

SPACE = """\
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
"""A search space without a mistake."""


def replaced(line_number: int, *lines: str) -> str:
    """Return `SPACE` with one line, counted from 1, in other words."""
    all_lines = SPACE.splitlines()
    all_lines[line_number - 1 : line_number] = lines
    return "\n".join(all_lines) + "\n"


def fields(problems) -> list[tuple[int | None, str, str]]:
    """Return line, key and code of each mistake."""
    return [(problem.line, problem.key, problem.code) for problem in problems]


SPACE_MISTAKES = [
    (10, ["trails: 4", "trials: 4"], [(10, "trails", "unknown_key")]),
    (10, ["trials: 0"], [(10, "trials", "out_of_bounds")]),
    (10, ["trials: four"], [(10, "trials", "wrong_type")]),
    (10, ["trials: true"], [(10, "trials", "wrong_type")]),
    (10, ["trials: 4", "algorithm: tpee"], [(11, "algorithm", "not_allowed")]),
    (10, ["trials: 4", "seed: -1"], [(11, "seed", "out_of_bounds")]),
    (1, ["name: ../escape"], [(1, "name", "invalid")]),
    (6, ["  encodr: tiny"], [(6, "fixed.encodr", "unknown_key")]),
    (6, ["  epochs: 2.5"], [(6, "fixed.epochs", "wrong_type")]),
    (6, ["  adapter:", "    rank: 0"], [(7, "fixed.adapter.rank", "out_of_bounds")]),
    (6, ["  adapter: lora"], [(6, "fixed.adapter", "wrong_type")]),
    (6, ["  resources.num_workers: 2"], [(6, "fixed.resources.num_workers", "misplaced")]),
    (6, ["  learning_rate: 1e-4"], [(8, "search.learning_rate", "conflict")]),
    (9, ["  adapter.rnk: {choice: [2, 4]}"], [(9, "search.adapter.rnk", "unknown_key")]),
    (9, ["  adapter.kind:", "    choice:", "      - none", "      - lroa"], [(12, "search.adapter.kind.choice.1", "not_allowed")]),
    (9, ["  adapter.rank: {choice: ['8']}"], [(9, "search.adapter.rank.choice.0", "wrong_type")]),
    (9, ["  adapter.rank: {choice: []}"], [(9, "search.adapter.rank.choice", "out_of_bounds")]),
    (9, ["  adapter.rank: {choice: 8}"], [(9, "search.adapter.rank.choice", "wrong_type")]),
    (9, ["  adapter.rank: {choice: [8, 8]}"], [(9, "search.adapter.rank.choice.1", "duplicate_value")]),
    (9, ["  hidden_layers: {choice: [{1: 2}]}"], [(9, "search.hidden_layers.choice.0", "wrong_type")]),
    (9, ["  adapter.rank: 8"], [(9, "search.adapter.rank", "wrong_type")]),
    (9, ["  adapter.rank: {chioce: [8]}"], [(9, "search.adapter.rank.chioce", "unknown_key")]),
    (9, ["  adapter.rank: {choice: [8], int: [1, 2]}"], [(9, "search.adapter.rank", "conflict")]),
    (9, ["  dropout: {uniform: [0, 1], log: true}"], [(9, "search.dropout.log", "conflict")]),
    (9, ["  dropout: {uniform: [0.5, 0.1]}"], [(9, "search.dropout.uniform", "out_of_bounds")]),
    (9, ["  dropout: {uniform: [0.1, 0.1]}"], [(9, "search.dropout.uniform", "out_of_bounds")]),
    (9, ["  dropout: {uniform: [0.5, 1.5]}"], [(9, "search.dropout.uniform", "out_of_bounds")]),
    (9, ["  dropout: {uniform: [-0.5, 0.5]}"], [(9, "search.dropout.uniform", "out_of_bounds")]),
    (9, ["  dropout: {uniform: [low, 0.5]}"], [(9, "search.dropout.uniform", "wrong_type")]),
    (9, ["  weight_decay: {uniform: [0, .inf]}"], [(9, "search.weight_decay.uniform", "out_of_bounds")]),
    (9, ["  weight_decay: {loguniform: [.nan, 1]}"], [(9, "search.weight_decay.loguniform", "out_of_bounds")]),
    (9, [f"  weight_decay: {{loguniform: [0.1, 1{'0' * 400}]}}"], [(9, "search.weight_decay.loguniform", "out_of_bounds")]),
    (9, ["  weight_decay: {loguniform: [0, 0.1]}"], [(9, "search.weight_decay.loguniform", "out_of_bounds")]),
    (9, ["  epochs: {uniform: [1, 5]}"], [(9, "search.epochs.uniform", "out_of_bounds")]),
    (9, ["  epochs: {int: [1, 5.5]}"], [(9, "search.epochs.int", "wrong_type")]),
    (9, ["  epochs: {int: [1, 8], step: 2, log: true}"], [(9, "search.epochs.int", "out_of_bounds")]),
    (9, ["  resources.num_workers: {choice: [1, 2]}"], [(9, "search.resources.num_workers", "misplaced")]),
    (9, ["  data.max_length: {choice: [64, 128]}"], [(9, "search.data.max_length", "misplaced")]),
    (9, ["  tasks: {choice: [[sst]]}"], [(9, "search.tasks", "misplaced")]),
    (3, ["  dev_scor: {direction: maximize, reference: 0.2}"], [(3, "objectives.dev_scor", "unknown_metric")]),
    (3, ["  dev_score: {direction: maximse, reference: 0.2}"], [(3, "objectives.dev_score.direction", "not_allowed")]),
    (3, ["  dev_score: {direction: maximize}"], [(3, "objectives.dev_score.reference", "missing_key")]),
    (3, ["  dev_score: {direction: maximize, reference: .nan}"], [(3, "objectives.dev_score.reference", "out_of_bounds")]),
    (4, ["  train_seconds: {direction: minimize, reference: 100, constraint: 200}"], [(4, "objectives.train_seconds.constraint", "invalid")]),
    (4, ["  peak_memory_gib: {direction: minimize, reference: 9, fallback: energy_kj}"], [(4, "objectives.peak_memory_gib.fallback", "invalid")]),
    (4, ["  peak_memory_gib: {direction: minimize, reference: 9, fallback: cpu_seconds}"], [(4, "objectives.peak_memory_gib.fallback", "invalid")]),
    (9, ["  adapter.rank: {choice: [2], when: {adapter.knd: lora}}", "  adapter.kind: {choice: [none, lora]}"], [(9, "search.adapter.rank.when.adapter.knd", "unknown_key")]),
    (9, ["  adapter.kind: {choice: [none, lora]}", "  adapter.rank: {choice: [2], when: {adapter.kind: [lroa]}}"], [(10, "search.adapter.rank.when.adapter.kind", "not_allowed")]),
    (9, ["  adapter.rank: {choice: [2], when: {encoder: minilm}}"], [(9, "search.adapter.rank.when.encoder", "never_applies")]),
    (9, ["  dropout: {choice: [0.1], when: {learning_rate: 1e-4}}"], [(9, "search.dropout.when.learning_rate", "invalid")]),
    (9, ["  epochs: {choice: [1, 2], when: {batch_size: 16}}", "  batch_size: {choice: [16, 32], when: {adapter.rank: 2}}", "  adapter.rank: {choice: [2, 4], when: {epochs: 1}}", "  dropout: {choice: [0.1, 0.2], when: {epochs: 1}}",], [(9, "search.epochs.when", "circle")]),
    (10, ["algorithm: grid"], [(8, "search.learning_rate", "not_allowed")]),
    (10, ["trials: 4", "resources: {num_wrkers: 2}"], [(11, "resources.num_wrkers", "unknown_key")]),
    (10, ["trials: 4", "resources: {num_workers: 2, launcher: inline}"], [(11, "resources.launcher", "invalid")]),
    (10, ["trials: 4", "trials: 5", "name: again"], [(11, "trials", "duplicate_key"), (12, "name", "duplicate_key")]),
    (9, ["  learning_rate: {choice: [1e-5]}"], [(9, "search.learning_rate", "duplicate_key")]),
]
"""Line that is replaced, the lines in its place, the mistakes."""

OBJECTIVE_MISTAKES = [
    ("sst: {direction: maximize, reference: 7}", ("objectives.sst.reference", "out_of_bounds")),
    ("sst: {direction: maximize, reference: 1}", ("objectives.sst.reference", "out_of_bounds")),
    ("sst: {direction: maximize, reference: -3}", ("objectives.sst.reference", "out_of_bounds")),
    ("grade: {direction: maximize, reference: -1.5}", ("objectives.grade.reference", "out_of_bounds")),
    ("cpu_seconds: {direction: minimize, reference: -60}", ("objectives.cpu_seconds.reference", "out_of_bounds")),
    ("grade.rmse: {direction: minimize, reference: 0}", ("objectives.grade.rmse.reference", "out_of_bounds")),
    ("trainable_percent: {direction: minimize, reference: 250}", ("objectives.trainable_percent.reference", "out_of_bounds")),
    ("dev_score: {direction: maximize, reference: 0.2, constraint: 1.5}", ("objectives.dev_score.constraint", "out_of_bounds")),
    ("cpu_seconds: {direction: minimize, reference: 60, constraint: 0}", ("objectives.cpu_seconds.constraint", "out_of_bounds")),
    ("trainable_percent: {direction: minimize, reference: 100, constraint: 100}", ("objectives.trainable_percent.constraint", "out_of_bounds")),
    ("topic.mcc: {direction: maximize, reference: -1, constraint: -1}", ("objectives.topic.mcc.constraint", "out_of_bounds")),
    ("topic.auroc: {direction: maximize, reference: 0.5, attainable: 90}", ("objectives.topic.auroc.attainable", "out_of_bounds")),
]
"""Line of the objective, key and code."""

CONFIG = """\
encoder: tiny
tasks:
  - sst
  - name: topic
    kind: classification
    num_classes: 3
    source:
      train: a.csv
      dev: b.csv
      columns: {sentence1: text}
  - {name: same, kind: pair_classification, num_classes: 2, source: {dataset: x/y, columns: {sentence2: b}}}
"""
"""A trial's config without a mistake; also the `fixed` keys of a search space."""

ITEM_MISTAKES = [
    ("dev: b.csv", "dve: b.csv", (9, "tasks.1.source.dve", "unknown_key")),
    ("dev: b.csv", "dev: 3", (9, "tasks.1.source.dev", "wrong_type")),
    ("kind: classification", "kind: clasification", (5, "tasks.1.kind", "not_allowed")),
    ("num_classes: 3", "num_classes: three", (6, "tasks.1.num_classes", "wrong_type")),
    ("num_classes: 3", "num_classes: 3\n    weight: 0", (7, "tasks.1.weight", "out_of_bounds")),
    ("num_classes: 3", "num_classes: 3\n    metrics: [f1_marco]", (7, "tasks.1.metrics.0", "invalid")),
    ("num_classes: 3", "num_classes: 3\n    classes: [a, b]", (6, "tasks.1.num_classes", "invalid")),
    ("num_classes: 3", "num_classes: 3\n    metrics:\n    - accuracy\n    - accuracy", (9, "tasks.1.metrics.1", "invalid")),
    ("num_classes: 3", "num_classes: 3\n    template: 'query:'", (7, "tasks.1.template", "invalid")),
    ("num_classes: 3", "num_classes: 3\n    weight: .inf", (7, "tasks.1.weight", "out_of_bounds")),
    ("num_classes: 3", "classes: [a, true]", (6, "tasks.1.classes", "invalid")),
    ("name: topic", "name: Support Topic", (4, "tasks.1.name", "invalid")),
    ("name: topic", "name: 2nd", (4, "tasks.1.name", "invalid")),
    ("name: topic", "name: epoch", (4, "tasks.1", "invalid")),
    ("name: same", "name: sst", (11, "tasks.2", "invalid")),
    ("  - sst\n", "  - sts2\n", (3, "tasks.0", "invalid")),
    ("  - sst\n", "  - 7\n", (3, "tasks.0", "invalid")),
    ("{sentence1: text}", "{sentence1: text, lable: x}", (10, "tasks.1.source.columns.lable", "unknown_key")),
    ("{sentence1: text}", "text", (10, "tasks.1.source.columns", "wrong_type")),
    ("      train: a.csv\n", "      kind: parquet\n      train: a.csv\n", (8, "tasks.1.source.kind", "not_allowed")),
    ("      dev: b.csv\n", "      dev: b.csv\n      separator: ';;'\n", (10, "tasks.1.source.separator", "invalid")),
    ("      dev: b.csv\n", "      split: {dev: 1.5}\n", (9, "tasks.1.source.split.dev", "out_of_bounds")),
    ("      train: a.csv\n", "", (7, "tasks.1.source.train", "missing_key")),
    ("dataset: x/y", "dataset: x/y, dev: a", (11, "tasks.2.source.dev", "unknown_key")),
    ("encoder: tiny\n", "encoder: tiny\nhidden_layers:\n  sst: 1\n  topic: many\n  same: 1\n", (4, "hidden_layers.topic", "wrong_type")),
    ("encoder: tiny\n", "encoder: tiny\nadapter.target_modules:\n- query\n- 3\n", (4, "adapter.target_modules.1", "wrong_type")),
    ("encoder: tiny\n", "encoder: tiny\nadapter:\n  kind: lora\n  rank: 0\n", (4, "adapter.rank", "out_of_bounds")),
    ("encoder: tiny\n", "encoder: tiny\ndata.source: course\n", (2, "data.source", "invalid")),
]
"""What is replaced, by what, the mistake."""

POINTS_SPACE = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.2}
fixed:
  encoder: tiny
  epochs: 3
search:
  adapter.kind: {choice: [none, lora, dora]}
  adapter.rank: {int: [2, 9], step: 2, when: {adapter.kind: [lora, dora]}}
  adapter.alpha: {choice: [8, 16], when: {adapter.rank: 8}}
  finetune: {choice: [full, heads_only], when: {adapter.kind: none}}
  learning_rate: {loguniform: [1e-5, 1e-3]}
  hidden_layers: {choice: [1, {sst: 1, quora: 2, sts: 2}]}
trials: 4
"""

POINTS_MISTAKES = [
    (["lora"], [(1, "points_to_evaluate.0", "wrong_type")]),
    (["{}"], [(1, "points_to_evaluate.0", "out_of_bounds")]),
    (["adapter.rnk: 8"], [(1, "points_to_evaluate.0.adapter.rnk", "not_searched")]),
    (["{adapter.kind: lora, epochs: 4}"], [(1, "points_to_evaluate.0.epochs", "not_searched")]),
    (["batch_size: 16"], [(1, "points_to_evaluate.0.batch_size", "not_searched")]),
    (["adapter.rank: '8'"], [(1, "points_to_evaluate.0.adapter.rank", "wrong_type")]),
    (["adapter.rank: true"], [(1, "points_to_evaluate.0.adapter.rank", "wrong_type")]),
    (["adapter.rank: 3"], [(1, "points_to_evaluate.0.adapter.rank", "not_searched")]),
    (["learning_rate: 0.1"], [(1, "points_to_evaluate.0.learning_rate", "not_searched")]),
    (["learning_rate: .inf"], [(1, "points_to_evaluate.0.learning_rate", "out_of_bounds")]),
    (["adapter.kind: lroa"], [(1, "points_to_evaluate.0.adapter.kind", "not_allowed")]),
    (["adapter.kind: vera"], [(1, "points_to_evaluate.0.adapter.kind", "not_searched")]),
    (["{adapter.kind: none, adapter.rank: 8}"], [(1, "points_to_evaluate.0.adapter.rank", "never_applies")]),
    (["{finetune: full, adapter.alpha: 8}"], [(1, "points_to_evaluate.0", "never_applies")]),
    (["{adapter: {kind: lora, rank: 2}, adapter.rank: 4}"], [(1, "points_to_evaluate.0.adapter.rank", "duplicate_key")]),
    (["{adapter.kind: lora, adapter.rank: 2, learning_rate: 1e-4, hidden_layers: 1}", "adapter.kind: dora", "{hidden_layers: 1, learning_rate: 1e-4, adapter: {rank: 2, kind: lora}}"], [(3, "points_to_evaluate.2", "duplicate_value")]),
    (["adapter.kind: lora"] * 5, [(0, "points_to_evaluate", "out_of_bounds")]),
    (["learning_rate: 1", "hidden_layers: 3", "adapter.kind: 5"], [(1, "points_to_evaluate.0.learning_rate", "not_searched"), (2, "points_to_evaluate.1.hidden_layers", "not_searched"), (3, "points_to_evaluate.2.adapter.kind", "not_allowed")]),
]
"""Entries of `points_to_evaluate`, the mistakes with lines counted from that key, which is 0."""

EXPERIMENT_MISTAKES = [
    ("experiments:\n  plain:", "experiments:\n  plain:\n    epochs: 2\n  plain:", (9, "experiments.plain", "duplicate_key")),
    ("epochs: 2}", "smart.steps: 2}", (8, "experiments.smart-k1.5.smart.steps", "duplicate_key")),
    ("  seed: {grid: [0, 1]}", "  experiment: {grid: [lora, smart-k1]}", (13, "search.experiment", "not_allowed")),
    ("  seed: {grid: [0, 1]}", "  experiment: {grid: [lora], when: {dropout: 0.2}}", (13, "search.experiment.when", "invalid")),
    ("{adapter.kind: lora}", "{adapter.kind: dora}", (14, "search.adapter.rank.when.adapter.kind", "never_applies")),
    ("{adapter.kind: lora}", "{experiment: lroa}", (14, "search.adapter.rank.when.experiment", "not_allowed")),
]
"""What is replaced in `experiment_space.PAPER_LIKE`, by what, the mistake."""

OWN_TASK = "{name: topic, kind: classification, num_classes: 3, source: {train: a.csv, dev: b.csv, columns: {}}}"

CONFIG_MISTAKES = [
    ("tasks: [sst, qora]", ("tasks.1", "invalid")),
    ("tasks: [sst, sst]", ("tasks.1", "invalid")),
    ("tasks: []", ("tasks", "out_of_bounds")),
    (f"tasks: [{OWN_TASK.replace('classification', 'clasification')}]", ("tasks.0.kind", "not_allowed")),
    (f"tasks: [{OWN_TASK.replace('topic', 'step')}]", ("tasks.0", "invalid")),
    ("hidden_layers: {sst: 1}", ("hidden_layers", "invalid")),
    ("hidden_layers: {sst: 1, quora: -1, sts: 0}", ("hidden_layers", "invalid")),
    ("hidden_layers: -1", ("hidden_layers", "invalid")),
    ("hidden_layers: {sst: two, quora: 1, sts: 1}", ("hidden_layers.sst", "wrong_type")),
    ("data: {max_train_rows: {qora: 5}}", ("data.max_train_rows", "invalid")),
    ("data: {max_train_rows: {sst: 0}}", ("data.max_train_rows.sst", "out_of_bounds")),
    ("data: {source: course}", ("data.source", "invalid")),
    ("{finetune: heads_only, adapter: {kind: dora}}", ("finetune", "invalid")),
    ("{finetune: heads_only, pair_encoding: separate, hidden_layers: 0}", ("finetune", "invalid")),
    ("{batch_size: 3, resources: {num_workers: 4}}", ("batch_size", "invalid")),
    ("resources: {gpus_per_worker: 2}", ("resources.gpus_per_worker", "invalid")),
    ("resources: {gpus_per_worker: 0.5, num_workers: 2}", ("resources", "invalid")),
    ("resources: {launcher: inline, num_workers: 2}", ("resources.launcher", "invalid")),
    ("resources: {gpus_per_worker: .nan}", ("resources.gpus_per_worker", "not_allowed")),
    ("learning_rate: .inf", ("learning_rate", "out_of_bounds")),
    ("adapter: {alpha: .inf}", ("adapter.alpha", "out_of_bounds")),
    ("adapter:", ("adapter", "wrong_type")),
    ("3: 4", ("3", "unknown_key")),
    ("1.5: 2", ("1.5", "unknown_key")),
    ("adapter: {1.5: 2}", ("adapter.1.5", "unknown_key")),
    ("adapter..rank: 3", ("adapter..rank", "unknown_key")),
    ("adapter.: 3", ("adapter.", "unknown_key")),
    ("'': 3", ("", "unknown_key")),
    ("adapter: {'': 3}", ("adapter.", "unknown_key")),
    ("~: 2", ("null", "unknown_key")),
    (": 2", ("null", "unknown_key")),
    ("true: 2", ("true", "unknown_key")),
    ("adapter: {null: 2}", ("adapter.null", "unknown_key")),
    ("? [a, b]\n: 2", ("[a, b]", "unknown_key")),
    (f"tasks: [{OWN_TASK.replace('num_classes: 3', 'classes: [null, a]')}]", ("tasks.0.classes", "invalid")),
    (f"tasks: [{OWN_TASK.replace('num_classes: 3', 'classes: [true, a]')}]", ("tasks.0.classes", "invalid")),
    ("adapter: {3: 4}", ("adapter.3", "unknown_key")),
    ("hidden_layers: {1: 4}", ("hidden_layers", "invalid")),
    ("encoder: 2020-01-01", ("encoder", "wrong_type")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {train: a.csv, columns: {}}}]", ("tasks.0.source", "invalid")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {kind: parquet, train: a, dev: b, columns: {}}}]", ("tasks.0.source.kind", "not_allowed")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: a.csv}]", ("tasks.0.source", "invalid")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {dataset: x/y, train: a, columns: {}}}]", ("tasks.0.source.train", "unknown_key")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {train: a, dev: b, columns: {}, quoting: none, escapechar: '\\'}}]", ("tasks.0.source.quoting", "invalid")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {train: a, dev: b, columns: {}, escapechar: /}}]", ("tasks.0.source.escapechar", "not_allowed")),
    ("tasks: [{name: topic, kind: classification, num_classes: 3, source: {train: a, dev: b, columns: {sentence2: s}}}]", ("tasks.0.source.columns", "invalid")),
]
"""A file of one line, key and code."""

NOT_YAML = [
    ("a: 1\nb:\n\tc: 3\n", "F:3:1"),
    ("b:\n  c: 3\n\td: 4\n", "F:3:1"),
    ("a:\t1\n", "F:1:3"),
    ("a: 1\nepochs 3\nb: 1\n", "F:2:1"),
    ("f:\n  epochs 3\n  b: 1\n", "F:2:3"),
    ("a: 1\nepochs:3\n", "F:2:1"),
    ("f:\n  epochs:3\n  b: 1\n", "F:2:3"),
    ("a: 1\nb = 2\n", "F:2:1"),
    ("t:\n  - sst\n  -sts\n", "F:3:3"),
    ("q: why: so\n", "F:1:4"),
    ("a: 1\n  b: 2\n", "F:2:3"),
    ("f:\n    a: 1\n  b: 2\n", "F:3:3"),
    ("t:\n  - a: 1\n   b: 2\n", "F:3:4"),
    ('a: 1\nb: "x\nc: 2\n', "F:2:4"),
    ("b: 'x\nc: 'y'\n", "F:1:4"),
    ("b: 'it's'\n", "F:1:8"),
    ("a: {b: 1\nc: 2\n", "F:1:4"),
    ("a: {b: [1, 2}\n", "F:1:8"),
    ("a: 1\nb: {c: {", "F:2:8"),
    ("a: {b: 1 c: 2}\n", "F:1:11"),
    ("a: [1, 2]]\n", "F:1:10"),
    ("a: [1, , 2]\n", "F:1:8"),
    ('a: "C:\\data"\n', "F:1:8"),
    ("a: *.csv\n", "F:1:4"),
    ("a: @x\n", "F:1:4"),
    ("a: !!python/object:os.system {}\n", "F:1:4"),
    ("a: - b\n", "F:1:4"),
    ("t:\n  - a\n  b: 1\n", "F:3:3"),
    ("a: {{ x }}\n", "F:1:5"),
    ("a: 1\n---\nb: 2\n", "F:2:1"),
    ("  a: 0\n b: 1\n", "F:2:2"),
    ("a: 1\n...\nfoo\n", "F:2:1"),
    ("%FOO\na: 1\n", "F:1:1"),
    ("a: 1\nb: \x07\n", "F:2:4"),
    ("a: 1\nb: 2020-13-45\n", "F:2"),
    (f"a: {'9' * 5000}\n", "F:1:4"),
    (f"a: 0x{'f' * 5000}\n", "F:1:4"),
    ("a: 1\nb: 2\na: 3\n", "F:3"),
    ("t:\n  - {a: 1}\n  - {b: 1, b: 2}\n", "F:3"),
    ("", "F"),
    ("# nothing\n", "F"),
    ("- a: 1\n", "F:1"),
    (b"\x80\x02", "F"),
    ("a: 1".encode("utf-16"), "F"),
]
"""A file, and the place of its mistake."""
