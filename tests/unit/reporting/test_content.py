"""The trade-offs of the trials on the front."""

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.content import front_points
from mtbert_ray.reporting.outcome import outcome_of

THREE_OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0),
    "peak_rss_gib": Objective(direction="minimize", reference=8.0),
}


def trade_offs_of(sweep):
    outcome = outcome_of(read_journal(sweep.finish()))
    return {point.trial_id: point.trade_offs for point in front_points(outcome, sweep.folder)}


def test_a_trial_that_is_the_best_in_two_objectives_is_traded_with_once(sweep):
    own = type(sweep)(sweep.folder.parent / "own", objectives=THREE_OBJECTIVES)
    own.trial("t0", [0.613], train_seconds=10.0, peak_rss_gib=1.18)
    own.trial("t1", [0.55], train_seconds=4.4, peak_rss_gib=1.0)
    assert trade_offs_of(own) == {
        "t0": ("5.6 s more train time and 0.18 GiB more peak RSS than t1, for 0.063 more dev score",),
        "t1": ("0.063 less dev score than t0, for 5.6 s less train time and 0.18 GiB less peak RSS",),
    }


def test_each_trial_that_is_the_best_in_something_has_its_own_sentence(sweep):
    own = type(sweep)(sweep.folder.parent / "own", objectives=THREE_OBJECTIVES)
    own.trial("t0", [0.7], train_seconds=10.0, peak_rss_gib=3.0)
    own.trial("t1", [0.6], train_seconds=5.0, peak_rss_gib=2.0)
    own.trial("t2", [0.5], train_seconds=20.0, peak_rss_gib=1.0)
    assert trade_offs_of(own)["t1"] == (
        "0.100 less dev score than t0, for 5.0 s less train time and 1.00 GiB less peak RSS",
        "1.00 GiB more peak RSS than t2, for 0.100 more dev score and 15.0 s less train time",
    )
    # Losses are in the order of the objectives, whichever of them the other trial is the best in.
    assert trade_offs_of(own)["t2"][1] == (
        "0.100 less dev score and 15.0 s more train time than t1, for 1.00 GiB less peak RSS"
    )
