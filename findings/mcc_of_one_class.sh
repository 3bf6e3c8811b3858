#!/usr/bin/env bash
# Version:   scikit-learn 1.9.1.
# Guess:     Matthews' correlation of predictions that name one class only is undefined (0 / 0): NaN or a warning, as
#            roc_auc_score and f1_score do where they are undefined.
# Behavior:  0.0 without a warning, the same as for predictions by chance: a collapsed model cannot be told from one that
#            guesses. One class in the labels gives 0.0 as well.
# Source:    run here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "scikit-learn==1.9.1"
"$folder/venv/bin/python" - <<'PY'
import warnings

from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

labels = [0, 1, 0, 1]
for name, score, arguments in (
    ("matthews_corrcoef, one class predicted", matthews_corrcoef, (labels, [1, 1, 1, 1])),
    ("matthews_corrcoef, one class in the labels", matthews_corrcoef, ([1, 1, 1, 1], labels)),
    ("f1_score, a class in neither", lambda a, b: f1_score(a, b, pos_label=1), ([0, 0], [0, 0])),
    ("roc_auc_score, one class in the labels", roc_auc_score, ([1, 1], [0.2, 0.8])),
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = score(*arguments)
    print(f"{name}: {value}, warnings: {[w.category.__name__ for w in caught]}")
    assert bool(caught) == (not name.startswith("matthews")), "the behavior has changed"
    assert not name.startswith("matthews") or value == 0.0, "the behavior has changed"
PY
