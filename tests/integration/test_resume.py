"""A sweep that was complete resumes with more trials, and with nothing else. tests/chaos has those that were killed."""

import pytest
from command_line import invoke, options

from mtbert_ray.journal import read_journal


@pytest.mark.ray
def test_a_complete_sweep_takes_more_trials(space_file, ray_address, tmp_path):
    out = tmp_path / "out"
    small = options(algorithm="random", epochs=1, search__learning_rate="{loguniform: [1e-4, 1e-2]}")
    done = invoke("sweep", space_file, "--out", out, "--trials", 1, "--address", ray_address, *small)
    assert done.exit_code == 0, (done.output, done.exception)
    [first] = read_journal(out).trials
    nothing_left = invoke("sweep", "--resume", out)
    assert nothing_left.exit_code == 2
    assert "all 1 trials" in nothing_left.stderr and "--trials" in nothing_left.stderr
    more = invoke("sweep", "--resume", out, "--trials", 2, "--address", ray_address)
    assert more.exit_code == 0, (more.output, more.exception)
    assert "2 of 2 trials done" in more.stderr
    sweep = read_journal(out)
    assert sweep.trials[0] == first and len(sweep.trials) == 2 and len(sweep.resumed) == 1


def test_resume_takes_no_other_configs(tmp_path):
    refused = invoke("sweep", "space.yaml", "--resume", tmp_path, "--set", "epochs=3")
    assert refused.exit_code == 2
    assert "SPACE, --set" in refused.stderr
