"""What a user asked for, checked on the way to a plan."""

import warnings

from command_line import TINY_SPACE

from mtbert_ray.tuning.request import SweepRequest, dry_run


def told(tmp_path, *overrides: str) -> list[str]:
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    request = SweepRequest(space_file=tmp_path / "space.yaml", out=tmp_path / "out", overrides=overrides)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(dry_run(request))
    return [str(warning.message) for warning in caught if "has no effect" in str(warning.message)]


def test_a_setting_that_no_trial_uses_is_told(tmp_path):
    assert told(tmp_path, "smart.epsilon=0.1") == [
        "smart.epsilon has no effect in any trial: smart.tasks names no task"
    ]


def test_a_setting_that_some_trials_use_is_not(tmp_path):
    # Half of the grid has an adapter.
    assert told(tmp_path, "adapter.rank=2") == []
