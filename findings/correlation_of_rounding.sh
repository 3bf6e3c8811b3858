#!/usr/bin/env bash
# Version:   scipy 1.17.1, numpy 2.4.6.
# Guess:     the correlation of a model's outputs that are all the same but for the last bit is NaN, or warns, as that of
#            constant outputs does.
# Behavior:  pearsonr and spearmanr give a number between -1 and 1 without a warning once the float32 outputs are
#            converted to float64: the correlation of the rounding.
# Source:    run here; scipy compares the spread with 1e-13 of the mean, which float32's last bit (6e-8) is far above.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "scipy==1.17.1" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import warnings

import numpy as np
from scipy import stats

rng = np.random.default_rng(0)
labels = rng.uniform(0, 5, size=64)
one = np.float32(2.5)
outputs = np.where(rng.random(64) < 0.5, one, np.nextafter(one, np.float32(3))).astype(np.float64)

for name, correlate in (("pearsonr", stats.pearsonr), ("spearmanr", stats.spearmanr)):
    for what, predictions in (("constant", np.full(64, 2.5)), ("one float32 step apart", outputs)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = correlate(predictions, labels).statistic
        print(f"{name}, {what}: {value:.4f}, warnings: {[w.category.__name__ for w in caught]}")
        if what == "constant":
            assert np.isnan(value) and caught, "the behavior has changed"
        else:
            assert np.isfinite(value) and abs(value) > 0.01 and not caught, "the behavior has changed"
PY
