"""Where a frozen encoder's weights lie: in the pages of their file."""

import subprocess
import sys

import pytest

CODE = """
import re
from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model

for setting in ({"finetune": "heads_only"}, {"adapter": {"kind": "lora"}}):
    model = build_model(TrialConfig.model_validate(setting))
    assert all(parameter.sum().isfinite() for parameter in model.parameters())  # Touches every page.
    maps = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read())
    weights = [block for block in maps if block.splitlines() and block.splitlines()[0].endswith("model.safetensors")]
    for name in ("Rss", "Private_Dirty"):
        print(sum(int(kib) for block in weights for kib in re.findall(rf"^{name}: +([0-9]+) kB", block, re.M)))
    del model
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_frozen_weights_stay_in_the_file_s_pages_which_processes_share():
    """A copy of its own would cost every trial of a node the encoder's size once more."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    heads_only_kib, copied_kib, lora_kib, copied_for_lora_kib = map(int, done.stdout.split())
    assert heads_only_kib > 80_000 and lora_kib > 80_000
    assert copied_kib == copied_for_lora_kib == 0
