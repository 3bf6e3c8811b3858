"""Names of earlier versions in YAML and on the command line: read as today's, with a warning that names today's."""

from pathlib import Path

import pytest

from mtbert_ray import deprecated
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space import load_search_space

OLD = """\
name: old
objectives:
  dev_score: {direction: maximise, reference: 0.2}
  gpu_utilisation_mean: {direction: maximise, reference: 1}
  peak_memory_gib:
    direction: minimise
    reference: 9
    without_gpu: peak_rss_gib
fixed: {encoder: tiny, adapter: {kind: lora}}
search:
  dropout: {uniform: [0, 0.5]}
  adapter.initialisation: {choice: [default, pissa]}
halving: {grace: 2, eta: 4, keep: 0.4}
start_with:
  - {adapter: {initialisation: pissa}}
learn_from: []
trials: 4
"""
NEW = """\
name: old
objectives:
  dev_score: {direction: maximize, reference: 0.2}
  gpu_utilization_mean: {direction: maximize, reference: 1}
  peak_memory_gib: {direction: minimize, reference: 9, fallback: peak_rss_gib}
fixed: {encoder: tiny, adapter: {kind: lora}}
search:
  dropout: {uniform: [0, 0.5]}
  adapter.initialization: {choice: [default, pissa]}
halving: {grace_period: 2, reduction_factor: 4, keep_quantile: 0.4}
points_to_evaluate:
  - {adapter: {initialization: pissa}}
warm_start_from: []
trials: 4
"""


@pytest.fixture(autouse=True)
def nothing_warned(monkeypatch):
    monkeypatch.setattr(deprecated, "_warned", set())


@pytest.fixture
def load(tmp_path):
    def write_and_load(text: str, *overrides: str):
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return load_search_space(path, overrides=overrides)

    return write_and_load


def test_a_space_with_old_names_is_the_same_space_with_one_warning_a_name(load):
    with pytest.warns(FutureWarning) as caught:
        space = load(OLD)
    assert space == load(NEW)
    texts = [str(warning.message) for warning in caught if warning.category is FutureWarning]
    old = "maximise minimise gpu_utilisation_mean without_gpu adapter.initialisation initialisation"
    assert sorted(text.split()[0] for text in texts) == sorted(
        [*old.split(), *["grace", "eta", "keep", "start_with", "learn_from"]]
    )
    assert any("points_to_evaluate" in text for text in texts)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("without_gpu: peak_rss_gib", "without_gpu: peak_rss", 8, "objectives.peak_memory_gib.fallback"),
        ("grace: 2", "grace: 0", 13, "halving.grace_period"),
        ("initialisation: pissa", "initialisation: pisa", 15, "points_to_evaluate.0.adapter.initialization"),
        ("learn_from: []", "learn_from:\n  - 3", 17, "warm_start_from.0"),
    ],
)
def test_a_mistake_below_an_old_key_has_its_line(load, old, new, line, key):
    with pytest.raises(ConfigError) as caught:
        load(OLD.replace(old, new))
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(line, key)]


def test_an_old_and_a_new_name_are_a_duplicate_key(load):
    with pytest.warns(FutureWarning), pytest.raises(ConfigError) as caught:
        load(NEW.replace("{grace_period: 2,", "{grace_period: 2, grace: 3,"))
    assert [(problem.line, problem.code) for problem in caught.value.problems] == [(10, "duplicate_key")]


def test_options_with_old_names(load):
    options = [
        "halving.grace=3",
        "halving={grace: 3}",
        "objectives.peak_memory_gib.without_gpu=cpu_seconds",
        "objectives.peak_memory_gib.without_gpu=peak_rss_gib",
        "objectives.train_seconds={direction: minimise, reference: 9}",
        "objectives.gpu_utilisation_peak={direction: maximize, reference: 2}",
        "start_with=[{dropout: 0.1}]",
        "learn_from=[]",
        "search.adapter.initialisation={choice: [default]}",
    ]
    with pytest.warns(FutureWarning, match="grace is called grace_period now"):
        space = load(NEW, *options)
    assert space.halving.grace_period == 3
    assert space.objectives["peak_memory_gib"].fallback == "peak_rss_gib"
    assert space.objectives["train_seconds"].direction == "minimize"
    assert "gpu_utilization_peak" in space.objectives
    assert space.points_to_evaluate == ({"dropout": 0.1},)
    assert space.search["adapter.initialization"].values == ("default",)


def test_a_trial_s_file_and_option(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("adapter: {kind: lora, initialisation: pissa}\n")
    with pytest.warns(FutureWarning, match="initialization"):
        assert load_config(path).adapter.initialization == "pissa"
    assert load_config(path, ["adapter.initialisation=olora"]).adapter.initialization == "olora"


def test_a_user_s_own_names_stay(tmp_path):
    source = "{train: a.csv, dev: b.csv, columns: {sentence1: start_with}}"
    path = Path(tmp_path / "config.yaml")
    path.write_text(
        f"tasks: [{{name: outlook, kind: classification, num_classes: 2, source: {source}}}]\n"
        "hidden_layers: {outlook: 2}\n"
    )
    config = load_config(path)
    assert config.hidden_layers == {"outlook": 2}
    assert config.tasks[0].source.columns.sentence1 == "start_with"
