#!/usr/bin/env bash
# Version:   transformers 5.23.0, torch 2.13.0.
# Guess:     a 4D attention mask of ones, (batch, 1, 1, tokens), means the same to ModernBERT as the 2D one: no padding.
# Behavior:  it takes the place of the masks of all layers, so the sliding windows of the local ones are off: the states are
#            those of a model whose windows are wider than the sequence, with no error and no warning.
# Source:    run here. transformers takes a 4D mask as it is; ModernBERT makes its windows from the 2D mask alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "transformers==5.23.0" "torch==2.13.0"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import torch
from transformers import ModernBertConfig, ModernBertModel

torch.manual_seed(0)
config = ModernBertConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
    max_position_embeddings=128, local_attention=8, global_attn_every_n_layers=3, initializer_range=0.2,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attn_implementation="sdpa",
)
model = ModernBertModel(config).eval()
ids = torch.randint(3, 60, (1, 40))
ones = torch.ones(1, 40)
with torch.no_grad():
    by_2d = model(input_ids=ids, attention_mask=ones).last_hidden_state
    by_4d = model(input_ids=ids, attention_mask=ones.bool()[:, None, None, :]).last_hidden_state
difference = (by_2d - by_4d).abs().max().item()
config.local_attention = 128
without_windows = ModernBertModel(config).eval()
without_windows.load_state_dict(model.state_dict())
with torch.no_grad():
    wide = without_windows(input_ids=ids, attention_mask=ones).last_hidden_state
print(f"2D and 4D mask, both all ones: states differ by {difference:.3f}")
print(f"4D mask and windows wider than the sequence: by {(by_4d - wide).abs().max().item():.2e}")
assert difference > 0.1, "the behavior has changed"
assert torch.allclose(by_4d, wide, atol=1e-5), "the behavior has changed"
PY
