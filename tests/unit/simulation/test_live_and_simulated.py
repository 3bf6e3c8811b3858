"""The same recorded curves, run by Tune's calls and on the simulated clock, give the same journal."""

import numpy as np
import pytest
from scripted_tune import ScriptedTune, curve_of, space_of, started

from mtbert_ray.simulation.clock import Clock, Curve, simulate
from mtbert_ray.study.study import Study


@pytest.mark.parametrize("scheduler", ["fifo", "pareto"])
@pytest.mark.parametrize("algorithm", ["random", "grid", "front", "tpe"])
def test_a_live_and_a_simulated_sweep_write_the_same_journal(tmp_path, algorithm, scheduler):
    space = space_of(algorithm, scheduler, trials=None if algorithm == "grid" else 8)
    space = space.model_copy(update={"probe": space.probe.model_copy(update={"steps": 0})})
    rng = np.random.default_rng(3)
    curves = [curve_of(rng) for _ in range(space.num_trials)]
    live = ScriptedTune(Study(started(space)), tmp_path, rng, workers=1)
    live.session(curves, incidents=False)

    clock, simulated = Clock(), [started(space)]
    study = Study(started(space), clock=clock, observers=[lambda event, trial: simulated.append(event)])
    left = iter(curves)

    def curve(_):
        metrics = next(left)
        seconds = np.array([each["train_seconds"] for each in metrics])
        return Curve(metrics=metrics, seconds=seconds, losses=np.zeros(2), is_feasible=True)

    simulate(study, curve, clock, workers=1, mean_seconds=10.0)
    assert len(simulated) > 2 * space.num_trials
    assert [in_short(event) for event in simulated] == [in_short(event) for event in live.events]


def in_short(event) -> dict:
    return event.model_dump(exclude={"time", "checkpoint"})
