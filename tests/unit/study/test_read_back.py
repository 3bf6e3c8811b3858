"""The search space of a journal, which may be another version's or made up: drawn from, or refused in a line."""

import copy

import pytest
from study_sessions import GRID, space_of

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space.read_back import read_space

SPACE = """\
name: s
objectives: {dev_score: {direction: maximize, reference: 0.0}}
fixed: {encoder: tiny, tasks: [sst]}
experiments: {plain: {epochs: 1}, long: {epochs: 2}}
search:
  learning_rate: {loguniform: [1e-5, 1e-2]}
  batch_size: {int: [4, 16], step: 4}
  adapter.kind: {choice: [none, lora]}
  adapter.rank: {choice: [2, 4], when: {adapter.kind: lora}}
points_to_evaluate: [{batch_size: 8}]
trials: 4
"""


@pytest.fixture
def content(tmp_path):
    return space_of(tmp_path, text=SPACE).model_dump(mode="json")


@pytest.mark.parametrize("text", [SPACE, GRID])
def test_a_space_is_read_back_as_it_was(tmp_path, text):
    space = space_of(tmp_path, text=text)
    assert read_space(space.model_dump(mode="json"), "sweep") == space


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("search", "learning_rate", "low"), -1.0, "low"),
        (("search", "learning_rate", "low"), 1.0, "low"),
        (("search", "learning_rate", "high"), 1e300, "learning_rate"),
        (("search", "batch_size", "step"), 0, "step"),
        (("search", "batch_size", "step"), -4, "step"),
        (("search", "batch_size", "high"), 10**30, "batch_size"),
        (("search", "batch_size", "log"), True, "step"),
        (("search", "adapter.kind", "values"), [], "values"),
        (("search", "adapter.kind", "values"), [1], "adapter.kind"),
        (("search", "adapter.kind", "when"), {"adapter.rank": [2]}, "circle"),
        (("search", "experiment", "values"), ["nobody"], "nobody"),
        (("search", "experiment", "values"), [["plain"]], "experiment"),
        (("search", "nothing"), {"kind": "choice", "values": [1]}, "nothing"),
        (("search", "adapter"), {"kind": "choice", "values": [1]}, "adapter"),
        (("fixed", "tasks"), [1], "tasks"),
        (("fixed", "nothing"), 1, "nothing"),
        (("experiments", "plain", "epochs"), 0, "epochs"),
        (("points_to_evaluate",), [{"dropout": 0.1}], "dropout"),
        (("points_to_evaluate",), [{"batch_size": 5}], "batch_size"),
        (("points_to_evaluate",), [{"batch_size": [8]}], "batch_size"),
        (("algorithm",), "grid", "grid"),
        (("objectives",), {f"m{n}": {"direction": "maximize", "reference": 0} for n in range(21)}, "objectives"),
        (("objectives", "dev_score", "fallback"), ["peak_rss_gib"], "fallback"),
    ],
)
def test_what_no_trial_could_be_drawn_from_is_refused(content, path, value, named):
    changed = copy.deepcopy(content)
    below = changed
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        read_space(changed, "sweep")
    assert named in str(caught.value) and str(caught.value).startswith("sweep")


def test_a_grid_without_end_is_refused(tmp_path):
    content = space_of(tmp_path, text=GRID).model_dump(mode="json")
    for key in ("seed", "epochs", "max_grad_norm", "weight_decay", "batch_size"):
        content["search"][key] = {"kind": "choice", "values": list(range(1, 101))}
    del content["fixed"]["epochs"]
    with pytest.raises(ConfigError, match="grid"):
        read_space(content, "sweep")
