"""Search spaces with values that do not belong where they are, and with damaged text.

Each is refused with its mistakes, or is a space whose configs can all be made; written out and read again it is the
same. Where the damage leaves what YAML reads as it was, the space is that of the undamaged file.
"""

import json
import random
import shutil
import warnings
from collections import Counter
from pathlib import Path

from damage import BYTES, LINES, as_json, changed_value, try_each
from ruamel.yaml import YAML

from mtbert_ray.config.yaml_lines import read_yaml_text
from mtbert_ray.errors import ConfigError, UserError
from mtbert_ray.study.request import SweepRequest, new_request, written
from mtbert_ray.study.space import load_search_space

SPACES = Path(__file__).parents[2] / "search_spaces"
OWN = """\
name: own
objectives:
  dev_score: {direction: maximize, reference: 0.3}
  topic.f1_macro: {direction: maximize, reference: 0.2, constraint: 0.3, attainable: 0.9}
  peak_memory_gib: {direction: minimize, reference: 8, fallback: peak_rss_gib}
fixed:
  encoder: tiny
  tasks:
    - sst
    - {name: topic, kind: classification, classes: [a, b], metrics: [accuracy, f1_macro],
       source: {train: a.csv, dev: b.csv, columns: {sentence1: text, label: topic}}}
  data: {max_train_rows: {sst: 10, topic: 20}, max_length: 32}
experiments:
  plain: {adapter.kind: none}
  small: {adapter: {kind: lora, rank: 2}, hidden_layers: {sst: 1, topic: 0}}
search:
  learning_rate: {loguniform: [1e-5, 1e-3]}
  epochs: {int: [1, 4], log: true}
  batch_size: {int: [8, 32], step: 8}
  dropout: {grid: [0.1, 0.2]}
  adapter.alpha: {uniform: [1, 16], when: {adapter.kind: lora}}
points_to_evaluate: [{learning_rate: 1e-4}, {dropout: 0.2, epochs: 2}]
algorithm: tpe
scheduler: pareto
halving: {grace_period: 1, keep_quantile: 0.5}
probe: {steps: 10, warmup_steps: 2}
trials: 8
time_budget_minutes: 5
seed: 3
resources: {num_workers: 1, concurrent_trials: 2}
"""


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many spaces; return how they came out, as `try_each` does."""
    texts = [OWN, *(path.read_text(encoding="utf-8") for path in sorted(SPACES.rglob("*.yaml")))]
    path = folder / "space.yaml"

    def attempt(rng: random.Random, number: int) -> str:
        text = OWN if rng.random() < 0.5 else rng.choice(texts)
        if number % 2:
            damaged = rng.choice(BYTES + LINES)(rng, text.encode())
        else:
            content = YAML(typ="safe", pure=True).load(text)
            damaged = as_json(changed_value(rng, content)).encode(errors="surrogatepass")
        path.write_bytes(damaged)
        shutil.rmtree(folder / "out", ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _try(path, folder, text)

    return try_each("spaces", count, seed, attempt, failures=failures)


def _try(path: Path, folder: Path, undamaged: str) -> str:
    try:
        request = new_request(path, out=folder / "out")
    except UserError as error:
        _check_mistakes(error)
        return "refused"
    request.space.example_configs()
    path.write_text(written(request.space), encoding="utf-8")
    again = load_search_space(path)
    assert json.loads(again.model_dump_json()) == json.loads(request.space.model_dump_json())
    if read_yaml_text(request.space_text or "") == read_yaml_text(undamaged):
        _check_same(request, path, folder, undamaged)
        return "accepted: says the same as before"
    return "accepted: another space"


def _check_same(request: SweepRequest, path: Path, folder: Path, undamaged: str) -> None:
    path.write_text(undamaged, encoding="utf-8")
    assert new_request(path, out=folder / "out").space == request.space


def _check_mistakes(error: UserError) -> None:
    text = str(error)
    assert text and "Traceback" not in text and "pydantic" not in text, text
    assert len(text) < 100_000, f"{len(text)} characters"
    if isinstance(error, ConfigError):
        assert all(len(problem) < 3000 for problem in error.problems), max(error.problems, key=len)
