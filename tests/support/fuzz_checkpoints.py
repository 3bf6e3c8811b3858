"""Damaged checkpoints: refused in a line, or a model that predicts what the undamaged one does.

Made-up ones have right digests and tensors that do not fit: other shapes, types, names, or values that are not finite.
"""

import json
import random
import shutil
import warnings
from collections import Counter
from pathlib import Path

import torch
from damage import BYTES, as_json, changed_value, try_each
from safetensors.torch import load_file, save_file
from saved import save_shifted_checkpoint

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import UserError
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.state import digest_of
from mtbert_ray.training.checkpoint import METRICS_NAME, WEIGHTS_NAME, load_checkpoint, read_metrics
from mtbert_ray.training.checkpoint_digest import read_metadata, sealed

CONFIGS = (
    {},
    {"finetune": "heads_only"},
    {"adapter.kind": "lora", "adapter.rank": 3},
    {"adapter.kind": "dora"},
    {"adapter.kind": "vera"},
)
METRICS = {"epoch": 2, "dev_score": 0.5, "sst": 0.4, "train_loss": 0.7}
FILES = (WEIGHTS_NAME, "config.json", METRICS_NAME)


@torch.no_grad()
def _outputs(folder: Path) -> list[float]:
    model, config = load_checkpoint(folder)
    model.eval()
    tokens = dict(load_tokenizer("tiny")(["One lamp.", "Two lamps, then."], padding=True, return_tensors="pt"))
    return torch.cat([model(task.name, (tokens,)).flatten() for task in config.tasks]).tolist()


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many checkpoints; return how they came out, as `try_each` does."""
    bases = []
    for number, values in enumerate(CONFIGS):
        config = TrialConfig.model_validate(nest({"encoder": "tiny", "tasks": ["sst", "sts"], **values}))
        bases.append(save_shifted_checkpoint(folder / f"base{number}", config, METRICS))
    right = {base: _outputs(base) for base in bases}
    case = folder / "case"

    def attempt(rng: random.Random, number: int) -> str:
        base = rng.choice(bases)
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(base, case)
        kind = (_bytes, _bytes, _config, _tensors)[number % 4](rng, case)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            return f"{kind}: {_try(case, right[base], caught)}"

    return try_each("checkpoints", count, seed, attempt, failures=failures, seconds=60)


def _try(case: Path, right: list[float], caught: list) -> str:
    try:
        outputs = _outputs(case)
        metrics = read_metrics(case)
    except UserError as error:
        text = str(error)
        assert text and "Traceback" not in text and "pydantic" not in text and len(text) < 10_000, text
        return "refused"
    told = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    is_told = any("was changed after" in text or "no digest" in text for text in told)
    assert outputs == right or is_told, "other predictions without an error"
    assert {**metrics, **METRICS} == metrics or is_told, f"other metrics without an error: {metrics}"
    return "accepted, the config's change told" if is_told else "accepted, the same"


def _bytes(rng: random.Random, case: Path) -> str:
    name = rng.choice(FILES)
    path = case / name
    if rng.random() < 0.1:
        path.unlink()
        rng.choice([lambda: None, path.mkdir, lambda: path.symlink_to(case / "nowhere")])()
        return f"{name} is no file"
    whole = path.read_bytes()
    head = rng.random() < 0.5 and name == WEIGHTS_NAME
    length = 8 + int.from_bytes(whole[:8], "little") if head else len(whole)
    path.write_bytes(rng.choice(BYTES)(rng, whole[:length]) + whole[length:])
    return f"bytes of {name}{' (its header)' if head else ''}"


def _config(rng: random.Random, case: Path) -> str:
    path = case / "config.json"
    path.write_text(as_json(changed_value(rng, json.loads(path.read_text()))), errors="surrogatepass")
    return "values of config.json"


def _tensors(rng: random.Random, case: Path) -> str:
    path = case / WEIGHTS_NAME
    state, metadata = load_file(path), read_metadata(path)
    name = rng.choice(sorted(state))
    tensor = state[name]
    kind = rng.choice(["nan", "infinite", "type", "shape", "missing", "unexpected", "values", "no digest"])
    match kind:
        case "nan" | "infinite" if tensor.is_floating_point():
            tensor.view(-1)[rng.randrange(tensor.numel())] = float("nan" if kind == "nan" else "inf")
        case "type" | "nan" | "infinite":
            state[name] = tensor.to(rng.choice([torch.float64, torch.float16, torch.int32]))
        case "shape":
            state[name] = torch.zeros((*tensor.shape, 2))
        case "missing":
            del state[name]
        case "unexpected":
            state[rng.choice(["", "heads", f"{name}.x"])] = tensor.clone()
        case "values":
            tensor.view(-1)[0] += 1
            save_file(state, path, metadata=metadata)
            return "values of tensors, the digest as before"
        case "no digest":
            save_file(state, path, metadata={"base_fingerprint": metadata["base_fingerprint"]})
            return "no digest"
    made = {key: text for key, text in metadata.items() if key != "digest"} | {"tensors_digest": digest_of(state)}
    save_file(state, path, metadata=sealed(made))
    return f"made up: {kind}"
