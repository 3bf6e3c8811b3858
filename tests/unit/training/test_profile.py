"""A tiny loop is profiled; the trace is read as JSON and holds the steps that were asked for."""

import gzip
import json
import re
import warnings
from pathlib import Path

import pytest
import torch

from mtbert_ray.config import ProfileConfig
from mtbert_ray.training.profile import profile_problem, profiling

TENSORBOARD_PATTERN = re.compile(r"(.*?)(\.\d+)?\.pt\.trace\.json(?:\.gz)?")
"""What TensorBoard's profiler takes for a trace: a worker, and a number for each of its recordings."""


def run(folder: Path | None, taken: int, **profile) -> None:
    """Take so many optimizer steps."""
    layer = torch.nn.Linear(4, 4)
    with profiling(ProfileConfig(**profile), folder) as after_step:
        for _ in range(taken):
            layer(torch.ones(2, 4)).sum().backward()
            after_step()


def traces_in(folder: Path) -> dict[str, dict]:
    paths = sorted((folder / "profile").iterdir()) if (folder / "profile").exists() else []
    return {path.name: json.loads(gzip.decompress(path.read_bytes())) for path in paths}


def steps_in(trace: dict) -> list[str]:
    return sorted({e["name"] for e in trace["traceEvents"] if str(e.get("name")).startswith("ProfilerStep#")})


def operators_in(trace: dict, name: str) -> int:
    return sum(e.get("name") == name and e.get("cat") == "cpu_op" for e in trace["traceEvents"])


@pytest.fixture(autouse=True)
def unexpected_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def test_the_trace_holds_the_steps_asked_for_and_is_named_by_the_first(tmp_path):
    run(tmp_path, 8, wait=2, warmup=1, steps=3)
    [(name, trace)] = traces_in(tmp_path).items()
    assert name == "rank0.4.pt.trace.json.gz"
    # The library counts from 0.
    assert steps_in(trace) == ["ProfilerStep#3", "ProfilerStep#4", "ProfilerStep#5"]
    assert operators_in(trace, "aten::linear") == 3
    assert TENSORBOARD_PATTERN.fullmatch(name).groups() == ("rank0", ".4")


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")
def test_each_recording_is_a_trace(tmp_path):
    run(tmp_path, 12, wait=1, warmup=1, steps=2, repeat=2)
    traces = traces_in(tmp_path)
    assert list(traces) == ["rank0.3.pt.trace.json.gz", "rank0.7.pt.trace.json.gz"]
    assert [operators_in(trace, "aten::linear") for trace in traces.values()] == [2, 2]


def test_a_run_of_just_enough_steps_is_enough(tmp_path):
    run(tmp_path, 6, wait=2, warmup=1, steps=3)
    assert list(traces_in(tmp_path)) == ["rank0.4.pt.trace.json.gz"]


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_run_that_is_too_short_warns_that_there_is_no_trace(tmp_path, taken):
    message = f"no trace was written: the run ended after optimizer step {taken}, and 1 x .* are 6; make profile.wait"
    with pytest.warns(RuntimeWarning, match=message) as record:
        run(tmp_path, taken, wait=2, warmup=1, steps=3)
    assert traces_in(tmp_path) == {}
    assert record[0].filename == __file__  # It points to who profiles.


def test_a_recording_cut_short_by_the_run_s_end_is_kept_and_reported(tmp_path):
    with pytest.warns(RuntimeWarning, match="only 1 of 3 steps were recorded"):
        run(tmp_path, 4, wait=2, warmup=1, steps=3)
    [(name, trace)] = traces_in(tmp_path).items()
    assert (name, operators_in(trace, "aten::linear")) == ("rank0.4.pt.trace.json.gz", 1)


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")
def test_a_recording_without_a_step_is_no_trace(tmp_path):
    """Without waiting, a second recording starts with the first one's end."""
    with pytest.warns(RuntimeWarning, match="only 2 of 4 steps"):
        run(tmp_path, 2, wait=0, warmup=0, steps=2, repeat=2)
    assert list(traces_in(tmp_path)) == ["rank0.1.pt.trace.json.gz"]


def test_allocations_are_recorded_when_asked_for(tmp_path):
    for memory in (False, True):
        folder = tmp_path / str(memory)
        run(folder, 2, wait=0, warmup=0, steps=2, memory=memory)
        [trace] = traces_in(folder).values()
        assert any(e.get("name") == "[memory]" for e in trace["traceEvents"]) is memory


def test_nothing_is_done_without_steps_or_without_a_folder(tmp_path):
    run(tmp_path, 9)
    run(None, 9, steps=2)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_run_is_not_hidden(tmp_path):
    with pytest.warns(RuntimeWarning, match="no trace"), pytest.raises(ZeroDivisionError):  # noqa: SIM117
        with profiling(ProfileConfig(steps=2), tmp_path) as after_step:
            after_step()
            raise ZeroDivisionError


@pytest.mark.parametrize("taken", range(9))
def test_the_problem_counts_the_steps_that_the_traces_hold(tmp_path, taken):
    hyperparameters = {"wait": 1, "warmup": 1, "steps": 2, "repeat": 2}
    with warnings.catch_warnings(action="ignore"):
        run(tmp_path, taken, **hyperparameters)
    recorded = sum(operators_in(trace, "aten::linear") for trace in traces_in(tmp_path).values())
    problem = profile_problem(ProfileConfig(**hyperparameters), taken=taken)
    expected = {0: "no trace was written", 4: None}.get(recorded, f"only {recorded} of 4 steps were recorded")
    assert problem is None if expected is None else problem.startswith(f"profile: {expected}: the run ended after")


def test_a_run_that_is_stopped_between_two_epochs_warns_as_well(tmp_path):
    """A sweep closes the generator of a trial that it stops."""

    def epochs():
        with profiling(ProfileConfig(steps=3), tmp_path) as after_step:
            while True:
                after_step()
                yield

    run_of_one_epoch = epochs()
    next(run_of_one_epoch)
    with pytest.warns(RuntimeWarning, match="no trace was written: the run ended after optimizer step 1"):
        run_of_one_epoch.close()
