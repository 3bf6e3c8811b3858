"""What holds for every halving decision: with one objective it is ASHA's, and no order or pickling changes it."""

import json
import pickle

import numpy as np
import pytest
from filled_rungs import NAN, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.study.pruning.rungs import Decision, HalvingConfig, Rungs


@pytest.mark.parametrize("reduction_factor", [2.0, 3.0, 4.0])
def test_with_one_objective_it_is_asha(reduction_factor: float):
    # Ray's bracket is ASHA with the numpy quantile as the cut; it maximizes.
    from ray.tune.schedulers.async_hyperband import _Bracket

    rng = np.random.default_rng(7)
    bracket = _Bracket(min_t=1, max_t=30, reduction_factor=reduction_factor, s=0, stop_last_trials=False)
    rungs = Rungs(
        HalvingConfig(reduction_factor=reduction_factor, keep_quantile=1 / reduction_factor, grace_period=1), 30
    )
    stopped = 0
    for number in range(300):
        name = f"t{number}"
        for epoch in range(1, 30):
            loss = float(rng.normal(1 / epoch))
            if (
                reduction_factor != 3.0
            ):  # Ties; not where a third of the quantile is rounded, differently for either sign.
                loss = round(4 * loss) / 4
            expected = bracket.on_result(_Named(name), epoch, -loss) == "STOP"
            assert rungs.report(name, epoch, np.array([loss])).stop == expected
            if expected:
                stopped += 1
                break
    assert stopped > 100


class _Named:
    def __init__(self, name: str) -> None:
        self.trial_id = name


coarse = st.integers(0, 5).map(float)
points = st.lists(st.tuples(coarse, coarse), min_size=1, max_size=15)
orders = st.sampled_from(["rank", "epsilon_net", "hypervolume"])


@given(points, orders, st.floats(0.05, 0.95))
def test_a_trial_on_the_front_of_its_rung_is_never_stopped(cloud: list, order: str, keep: float):
    rungs = filled([], keep_quantile=keep, order=order)
    for number, losses in enumerate(cloud):
        so_far = cloud[:number]
        dominated = any(all(a <= b for a, b in zip(o, losses, strict=True)) and o != losses for o in so_far)
        assert dominated or not rungs.report(f"t{number}", 1, np.array(losses)).stop


@given(points, st.tuples(coarse, coarse), st.randoms())
def test_in_which_order_the_others_came_makes_no_difference(cloud: list, last: tuple, random):
    shuffled = random.sample(cloud, len(cloud))
    one, other = (filled(each).report("new", 1, np.array(last)) for each in (cloud, shuffled))
    assert (one.stop, one.priority, one.cut) == (other.stop, other.priority, other.cut)


@given(points, st.tuples(coarse, coarse))
def test_which_objective_is_named_first_and_its_unit_make_no_difference(cloud: list, last: tuple):
    changed = [(1000 * b + 7, a**3) for a, b in cloud]
    one = filled(cloud).report("new", 1, np.array(last))
    other = filled(changed).report("new", 1, np.array([1000 * last[1] + 7, last[0] ** 3]))
    assert (one.stop, one.priority, one.dominated_by) == (other.stop, other.priority, other.dominated_by)


# A trial, where it is, its losses or none, how far it exceeds the constraints.
told = st.tuples(
    st.integers(0, 9), st.integers(1, 9), coarse, coarse, st.sampled_from([0.0, 0.0, 0.5, NAN]), st.booleans()
)


@settings(max_examples=50)
@given(st.lists(told, max_size=40), st.integers(0, 40))
def test_goes_on_from_a_pickle_or_from_json_as_if_nothing_happened(reports: list, cut: int):
    rungs = Rungs(HalvingConfig(share_to_end=0.2, brackets=2), 9)

    def go(one: Rungs, some: list) -> list[Decision]:
        return [
            one.report(f"t{trial}", resource, None if lost else np.array([a, b]), violation)
            for trial, resource, a, b, violation, lost in some
        ]

    go(rungs, reports[:cut])
    from_pickle = pickle.loads(pickle.dumps(rungs))
    from_json = Rungs(HalvingConfig(share_to_end=0.2, brackets=2), 9)
    from_json.restore_json(json.loads(json.dumps(rungs.to_json())))
    expected = go(rungs, reports[cut:])
    assert go(from_pickle, reports[cut:]) == expected
    assert go(from_json, reports[cut:]) == expected
    assert from_json.stopped == rungs.stopped
