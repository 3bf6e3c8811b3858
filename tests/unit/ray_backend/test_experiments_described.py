"""What a dry run and a report say of named experiments."""

from pathlib import Path

import pytest
from experiment_space import NO_SEARCH, PAPER_LIKE, load

from mtbert_ray.ray_backend.capacity import Capacity, Node
from mtbert_ray.ray_backend.plan import describe, describe_rows, make_plan
from mtbert_ray.study.space.load import SearchSpace


def described(space: SearchSpace) -> list[str]:
    return describe(make_plan(space, Capacity(nodes=(Node(cpus=4),)), own_cluster=True))


def test_a_dry_run_has_one_line_an_experiment(tmp_path: Path):
    lines = described(load(PAPER_LIKE, tmp_path))
    assert [line for line in lines if line.startswith(("experiment:", "search:"))] == [
        "experiment: plain (all as fixed)",
        "experiment: smart-k1.5 (smart.tasks ['sst'], smart.steps 1, epochs 2)",
        "experiment: lora (adapter.kind lora, data.train_files {quora: 'some.csv'})",
        "search: seed = one of 0, 1",
        "search: adapter.rank = one of 2, 4, when adapter.kind is 'lora'",
    ]
    assert any(line.startswith("trials: 8, ") for line in lines)
    one = described(load(NO_SEARCH, tmp_path, "experiment=plain"))
    assert [line for line in one if line.startswith("experiment:")] == ["experiment: plain (all as fixed)"]


def test_numbers_of_rows_stand_by_experiment_where_they_differ():
    def counts(quora: int) -> dict:
        return {"train": {"sst": 9, "quora": quora}, "dev": {"sst": 4, "quora": 5}}

    rows = {"plain": counts(100), "smart-k1.5": counts(100), "lora": counts(20)}
    assert list(describe_rows(rows)) == [
        "rows: sst: 9 train, 4 dev",
        "rows: quora: 100 train, 5 dev (plain, smart-k1.5)",
        "rows: quora: 20 train, 5 dev (lora)",
    ]


def test_notes_name_the_experiments_that_they_hold_for(tmp_path: Path):
    def notes(*overrides: str) -> list[str]:
        space = load(PAPER_LIKE, tmp_path, *overrides)
        return [line.removeprefix("note: ") for line in described(space) if line.startswith("note: ")]

    assert notes() == ["The training rows of quora are those of some.csv (lora)."]
    assert notes("data.max_dev_rows=8")[0] == (
        "Dev scores come from at most 8 rows a task, the same for every trial."
    ), "what holds for all needs no names"
    same = notes("smart.steps=1", "smart.tasks=[sst]", "epochs=2", "data.train_files={}", "dropout=0")
    assert same == ["These experiments have the same config: plain, smart-k1.5."]


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        ("{experiment: b}", False),
        ("{experiment: [a, b]}", True),
        ("{dropout: 0.2}", True),
    ],
)
def test_experiments_that_are_searched_otherwise_have_other_configs(tmp_path: Path, condition: str, same: bool):
    text = PAPER_LIKE.split("experiments:")[0].replace("epochs: 4, ", "") + (
        f"experiments: {{a: , b: }}\nsearch: {{epochs: {{grid: [2, 4], when: {condition}}}}}\nalgorithm: grid\n"
    )
    notes = [line for line in described(load(text, tmp_path)) if "the same config" in line]
    assert notes == ["note: These experiments have the same config: a, b."] * same
