"""Values of a search space that do not belong where they are: each a mistake with its line, none a traceback."""

import pytest

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space import load_search_space

SPACE = """\
name: s
objectives:
  dev_score: {direction: maximize, reference: 0.1}
  peak_memory_gib: {direction: minimize, reference: 8, fallback: peak_rss_gib}
fixed:
  encoder: tiny
  tasks: [sst]
search:
  learning_rate: {loguniform: [1e-5, 1e-3]}
trials: 4
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("reference: 0.1}", "reference: 0.1, fallback: [dev_score]}", 3, "objectives.dev_score.fallback"),
        ("reference: 0.1}", "reference: 0.1, fallback: {a: 1}}", 3, "objectives.dev_score.fallback"),
        ("fallback: peak_rss_gib", "fallback: [peak_rss_gib]", 4, "objectives.peak_memory_gib.fallback"),
        ("direction: maximize", "direction: [maximize]", 3, "objectives.dev_score.direction"),
        ("reference: 0.1", "reference: [0.1]", 3, "objectives.dev_score.reference"),
        ("reference: 0.1", "reference: .inf", 3, "objectives.dev_score.reference"),
        ("tasks: [sst]", "tasks: [1]", 7, "fixed.tasks.0"),
        ("tasks: [sst]", "tasks: [[sst]]", 7, "fixed.tasks.0"),
        ("tasks: [sst]", "tasks: [null]", 7, "fixed.tasks.0"),
        ("tasks: [sst]", "tasks: {sst: 1}", 7, "fixed.tasks"),
        ("loguniform: [1e-5, 1e-3]", "loguniform: [1e-5, [1e-3]]", 9, "search.learning_rate.loguniform"),
        ("encoder: tiny", "epochs: 1000001", 6, "fixed.epochs"),
        ("encoder: tiny", f"epochs: {10**60}", 6, "fixed.epochs"),
        ("trials: 4", f"trials: {10**60}", 10, "trials"),
        ("trials: 4", "trials: [4]", 10, "trials"),
    ],
)
def test_it_is_a_mistake_at_its_own_line(tmp_path, old, new, line, key):
    assert old in SPACE
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_search_space(path)
    assert (line, key) in [(mistake.line, mistake.key) for mistake in caught.value.problems]


def test_nesting_without_end_is_a_mistake(tmp_path):
    path = tmp_path / "space.yaml"
    for depth in (101, 5000):
        path.write_text(SPACE.replace("tasks: [sst]", f"tasks: {'[' * depth}{']' * depth}"))
        with pytest.raises(ConfigError) as caught:
            load_search_space(path)
        assert caught.value.problems[0].code == "syntax"


def test_more_objectives_than_a_report_can_draw_are_a_mistake(tmp_path):
    path = tmp_path / "space.yaml"
    tasks = ", ".join(
        f"{{name: t{n}, kind: classification, num_classes: 2, "
        "source: {train: a.csv, dev: b.csv, columns: {sentence1: s, label: l}}}"
        for n in range(21)
    )
    objectives = "".join(f"  t{n}: {{direction: maximize, reference: 0.1}}\n" for n in range(21))
    text = SPACE.replace("tasks: [sst]", f"tasks: [{tasks}]")
    head, rest = text.split("objectives:\n")
    path.write_text(f"{head}objectives:\n{objectives}fixed:{rest.partition('fixed:')[2]}")
    with pytest.raises(ConfigError) as caught:
        load_search_space(path)
    assert [(mistake.key, mistake.code) for mistake in caught.value.problems] == [("objectives", "out_of_bounds")]
