"""A space with named experiments, for the tests of what a trial has, of the mistakes and of what is said."""

from pathlib import Path

from mtbert_ray.study.space.load import SearchSpace, load_search_space

PAPER_LIKE = """\
name: named
paper_table: 2
objectives:
  dev_score: {direction: maximize, reference: 0.2}
fixed: {encoder: tiny, epochs: 4, dropout: 0.2}
experiments:
  plain:
  smart-k1.5: {smart: {tasks: [sst], steps: 1}, epochs: 2}
  lora:
    adapter.kind: lora
    data.train_files: {quora: some.csv}
search:
  seed: {grid: [0, 1]}
  adapter.rank: {grid: [2, 4], when: {adapter.kind: lora}}
algorithm: grid
"""
NO_SEARCH = PAPER_LIKE.split("search:")[0] + "algorithm: grid\n"


def load(text: str, folder: Path, *overrides: str, **options) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_search_space(path, overrides=overrides, **options)
