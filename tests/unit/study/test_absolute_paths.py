"""A search space means the same files wherever the process stands that reads it back."""

from pathlib import Path

import pytest
from command_line import TINY_SPACE
from course_files import write_course

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import dotted
from mtbert_ray.config.trial import PATHS
from mtbert_ray.study.request import new_request
from mtbert_ray.study.space import SearchSpace, load_search_space

SPACE = """\
name: here
objectives: {dev_score: {direction: maximize, reference: 0.0}}
fixed:
  data.source: course
  data.directory: rows
  data.train_files: {quora: rows/some.csv}
  tasks:
    - quora
    - name: mine
      kind: classification
      num_classes: 2
      source: {train: mine/train.csv, dev: mine/dev.csv, columns: {sentence1: text}}
    - name: copied
      kind: classification
      num_classes: 2
      source: {dataset: copies/set, columns: {sentence1: text}}
experiments:
  again: {init_from: runs/first/checkpoint, data.directory: other}
  anew: {}
search:
  encoder: {choice: [encoders/mine, tiny]}
  adapter.rank: {choice: [2, 4], when: {encoder: [encoders/mine]}}
points_to_evaluate: [{experiment: anew, encoder: encoders/mine, adapter.rank: 2}]
trials: 8
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "here"
    for name in ("encoders/mine", "copies/set", "elsewhere"):
        (folder / name).mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "space.yaml").write_text(SPACE)
    return folder


def test_a_space_read_back_elsewhere_gives_the_same_trials(here, monkeypatch):
    space = load_search_space(Path("space.yaml")).with_absolute_paths()
    before = space.example_configs()
    dumped = space.model_dump(mode="json")
    monkeypatch.chdir(here / "elsewhere")
    back = SearchSpace.model_validate(dumped)
    assert list(back.grid()) == list(space.grid()) and len(before) > 4
    assert back.example_configs() == before
    assert back.with_absolute_paths() == back
    assert [task.name for task in back.tasks] == ["quora", "mine", "copied"]


def test_its_trials_are_those_of_the_space_as_written(here):
    written = load_search_space(Path("space.yaml"))
    assert written.with_absolute_paths().example_configs() == written.example_configs()
    text = str(written.with_absolute_paths().model_dump(mode="json"))
    for path in ("rows", "rows/some.csv", "mine/train.csv", "mine/dev.csv", "copies/set", "other", "encoders/mine"):
        assert f"'{here / path}'" in text and f"'{path}'" not in text
    assert "'tiny'" in text


def test_every_path_of_a_trial_is_among_them(here):
    source = {"train": "a.csv", "dev": "b.csv", "columns": {}}
    config = TrialConfig(
        encoder="encoders/mine",
        init_from="runs/first",
        tasks=[{"name": "mine", "kind": "classification", "num_classes": 2, "source": source}],
        data={"directory": "rows", "train_files": {"mine": "c.csv"}},
    )
    written, absolute = dotted(config.model_dump()), dotted(config.with_absolute_paths().model_dump())
    changed = {key for key in written if written[key] != absolute[key]}
    assert changed == {key if key != "data.train_files" else "data.train_files.mine" for key in PATHS}


def test_a_sweep_s_own_space_has_them_and_the_files_of_data_too(tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    write_course(tmp_path / "rows")
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    monkeypatch.chdir(tmp_path)
    request = new_request(Path("space.yaml"), data=Path("rows"), out=Path("out"))
    assert request.space.fixed["data.directory"] == str(tmp_path / "rows")
