#!/usr/bin/env bash
# Version:   datasets 5.2.0 (its csv loader reads with pandas 3.1.1).
# Guess:     a tab-separated file of 12 lines, as GLUE's tasks come in, loads as 12 rows, or with an error.
# Behavior:  where two lines have a field that begins with a double quote, the rows between them become part of one
#            field: 7 rows, with no error and no warning. quoting=3 (csv.QUOTE_NONE) gives 12.
# Source:    run here; GLUE's files are written without quoting, and the loader's default is quoting=0 (minimal).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "datasets==5.2.0" "pandas==3.1.1"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import csv
import sys
import warnings
from pathlib import Path

import datasets

datasets.disable_progress_bars()
lines = [f"{number}\tthe tram was full\t{number % 2}" for number in range(12)]
lines[3] = '3\t"the ferry left early\t1'
lines[8] = '8\t"the ferry left early\t0'
path = Path(sys.argv[1]) / "train.tsv"
path.write_text("\n".join(["index\tsentence\tlabel", *lines]) + "\n")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    plain = datasets.load_dataset("csv", data_files=str(path), sep="\t", split="train")
unquoted = datasets.load_dataset("csv", data_files=str(path), sep="\t", split="train", quoting=csv.QUOTE_NONE)
about_rows = [str(warning.message) for warning in caught if "row" in str(warning.message)]
print(f"lines: {len(lines)}; rows by default: {len(plain)}; rows unquoted: {len(unquoted)}; warnings: {about_rows}")
print("the row that holds others:", plain[3])
assert (len(plain), len(unquoted), about_rows) == (7, 12, []), "the behavior has changed"
PY
