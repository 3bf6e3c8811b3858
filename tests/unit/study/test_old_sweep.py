"""The journal of an earlier version, with its names of keys and metrics, is replayed and resumed.

It is that of a sweep which was killed: six of its sixteen trials had ended, two were running.
"""

import json
import shutil
from pathlib import Path

import pytest
from study_sessions import ask_all, finish, num_left, resumed_study

from mtbert_ray.events import EpochFinished
from mtbert_ray.journal import JOURNAL_NAME, read_events
from mtbert_ray.metrics import METRICS
from mtbert_ray.study.request import resume_request
from mtbert_ray.study.session import read_study
from mtbert_ray.study.space.model import config_key

OLD_NAMES = ("maximise", "outlook", "gpu_utilisation_mean", '"eta"', "start_with", "without_gpu", "initialisation")

pytestmark = pytest.mark.filterwarnings("ignore:.*the old name is still read:FutureWarning")


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copy(Path(__file__).parent / "old_sweep" / JOURNAL_NAME, tmp_path)
    return tmp_path


def test_it_has_the_names_of_an_earlier_version(folder):
    text = (folder / JOURNAL_NAME).read_text()
    assert all(name in text for name in OLD_NAMES)


def test_its_events_have_today_s_names(folder):
    events, torn = read_events(folder)
    text = "\n".join(event.model_dump_json() for event in events)
    assert not torn and not any(name in text for name in OLD_NAMES)
    known = {*METRICS, "epoch", "step"}
    epoch = next(event for event in events if isinstance(event, EpochFinished))
    assert {"gpu_utilization_mean", "peak_rss_gib"} <= known & epoch.metrics.keys()


def test_its_trials_and_decisions_are_those_of_the_sweep(folder):
    study = read_study(folder)
    ended = {trial.trial_id: trial.status for trial in study.trials}
    stopped = [f"t00{number}" for number in (0, 2, 3, 4, 5)]
    assert ended == {**dict.fromkeys(stopped, "stopped"), "t001": "finished", "t006": "running", "t007": "running"}
    for trial_id in stopped:
        assert study.decision(trial_id).in_words() == study.sweep.trial(trial_id).reason
    assert study.space.halving.reduction_factor == 2.0 and study.space.halving.keep_quantile == 0.34
    assert (study.num_trials, num_left(study)) == (16, 10)


def test_it_is_resumed_with_the_interrupted_trials_and_then_with_new_configs(folder):
    before = {trial.trial_id: trial for trial in read_study(folder).trials}
    assert resume_request(folder).space.num_trials == 16
    study = resumed_study(folder)
    asked = ask_all(study)
    assert [trial_id for trial_id, _ in asked] == [f"t{number:03d}" for number in range(6, 16)]
    assert all(values == before[trial_id].hyperparameters for trial_id, values in asked[:2])
    assert len({config_key(trial.hyperparameters) for trial in study.trials}) == 16
    finish(study, "t006")
    again = read_study(folder)
    assert again.sweep.trial("t006").status == "finished" and num_left(again) == 9
    new = (folder / JOURNAL_NAME).read_text().splitlines()[43:]
    assert json.loads(new[0])["event"] == "sweep_resumed"
    assert not any(name in line for line in new for name in OLD_NAMES)
