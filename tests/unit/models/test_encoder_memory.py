"""Where a frozen encoder's weights lie: in the pages of their file."""

import subprocess
import sys

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("changes", [{"finetune": "heads_only"}, {"adapter": {"kind": "lora"}}])
def test_frozen_weights_stay_in_the_file_s_pages_which_processes_share(changes):
    """A copy of its own would cost every trial of a node the encoder's size once more."""
    code = f"""
import re
from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
model = build_model(TrialConfig.model_validate({changes!r}))
assert all(parameter.sum().isfinite() for parameter in model.parameters())  # Touches every page.
maps = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read())
weights = [block for block in maps if block.splitlines() and block.splitlines()[0].endswith("model.safetensors")]
for name in ("Rss", "Private_Dirty"):
    print(sum(int(kib) for block in weights for kib in re.findall(rf"^{{name}}: +([0-9]+) kB", block, re.M)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    resident_kib, copied_kib = map(int, done.stdout.split())
    assert resident_kib > 80_000 and copied_kib == 0
