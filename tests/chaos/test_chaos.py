"""Five kills, one of each kind, and the sweep ends as if there had been none. chaos.py makes more of them."""

import pytest
from chaos import VICTIMS, attack

pytestmark = pytest.mark.ray


def test_a_sweep_under_attack_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    chaos = attack(tmp_path, "random", list(VICTIMS), trials=4, epochs=12, seed=0)
    assert chaos.kills.total() == len(VICTIMS), "the sweep was over before all had been killed"
    assert chaos.resumed_by_hand == 1, "the supervisor resumes it by itself, unless it is killed"
