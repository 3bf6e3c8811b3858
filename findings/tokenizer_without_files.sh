#!/usr/bin/env bash
# Version:   transformers 5.23.0.
# Guess:     AutoTokenizer.from_pretrained of a folder that holds config.json and no file of a tokenizer is an error.
# Behavior:  it makes a tokenizer of the special tokens alone (5 for BERT): every word becomes [UNK], with no error and no
#            warning. A model trained with it learns from nothing but the number of words.
# Source:    run here; transformers 5 builds the tokenizer of the config's model type from its defaults.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "transformers==5.23.0"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

from transformers import AutoTokenizer, BertConfig

folder = Path(sys.argv[1]) / "encoder"
BertConfig().save_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer("the tram was full").input_ids
print("files:", sorted(path.name for path in folder.iterdir()))
print("tokenizer:", type(tokenizer).__name__, "with", len(tokenizer), "tokens; the tram was full:", ids)
assert len(tokenizer) < 10 and set(ids[1:-1]) == {tokenizer.unk_token_id}, "the behavior has changed"
PY
