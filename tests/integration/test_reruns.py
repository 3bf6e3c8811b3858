"""Reruns on a real Ray: with other seeds side by side, then each alone for an epoch."""

from command_line import TINY_SPACE, invoke

from mtbert_ray.journal import read_journal


def test_the_front_is_repeated_and_then_measured_alone(ray_address, tmp_path):
    space, out = tmp_path / "tiny.yaml", tmp_path / "out"
    space.write_text(f"{TINY_SPACE}keep_checkpoints: front\nresources: {{concurrent_trials: 2}}\n")
    assert invoke("sweep", space, "--out", out, "--repeats", 1, "--address", ray_address).exit_code == 0
    ended = invoke("sweep", "--resume", out, "--remeasure", "front", "--address", ray_address)
    assert ended.exit_code == 0, ended.output
    sweep = read_journal(out)
    front = [trial for trial in sweep.trials if sweep.remeasurement_of(trial.trial_id) is not None]
    assert front and len(sweep.reruns) == 2 * len(front)
    for trial in front:
        (repeat,) = sweep.repeats_of(trial.trial_id)
        assert repeat.config == {**trial.config, "seed": 1}
        assert repeat.epochs[0]["dev_score"] != trial.epochs[0]["dev_score"]
        alone = sweep.remeasurement_of(trial.trial_id)
        assert (alone.num_done, alone.stop_kind) == (1, "remeasured")
        scores = [name for name in ("sst", "quora", "sts", "dev_score") if alone.epochs[0][name] is not None]
        assert all(alone.epochs[0][name] == trial.epochs[0][name] for name in scores), "the same run once more"
        others = [one for one in sweep.all_trials if one is not alone]
        assert all(one.ended <= alone.started or one.started >= alone.ended for one in others)
    last_of_the_search = max(trial.ended for trial in sweep.trials)
    assert all(one.started >= last_of_the_search for one in sweep.reruns)
    with_checkpoint = {path.parent.name for path in out.glob("trials/*/checkpoint")}
    assert with_checkpoint == {trial.trial_id for trial in front}
    assert not list(out.glob("trials/*/state"))
