"""No setting is so large, and no name so odd, that it would end in a traceback, in all of the memory, or never."""

import math
from pathlib import Path
from typing import Annotated, get_args

import annotated_types
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.study.pruning.rungs import HalvingConfig
from mtbert_ray.study.space.load import load_search_space
from mtbert_ray.study.space.model import SweepResources

LARGEST_FLOAT32 = 3.4e38
NO_BOUNDS_OF_ITS_OWN = {"gpus_per_worker", "task", "tasks", "seed"}
"""Held by a rule of the section, by another file, and unused but for its hash in `halving`."""


def fields_of(model: type[BaseModel]):
    for name, field in model.model_fields.items():
        if name in NO_BOUNDS_OF_ITS_OWN:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation)
        else:
            yield model, name


def takes_numbers(annotation: object) -> bool:
    return annotation in (int, float) or any(map(takes_numbers, get_args(annotation)))


def validated(model: type[BaseModel], name: str, value: object) -> object:
    field = model.model_fields[name]
    annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(annotation).validate_python(value)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(model, name, id=f"{model.__name__}.{name}")
        for top in (TrialConfig, SampleConfig, ProbeConfig, HalvingConfig, SweepResources)
        for model, name in fields_of(top)
        if takes_numbers(model.model_fields[name].annotation)
    ],
)
def test_every_number_has_an_upper_bound(model, name):
    for value in (10**20, 10**400) if float not in flat(model.model_fields[name].annotation) else (1e39, 1e300):
        with pytest.raises(ValidationError):
            validated(model, name, value)


def flat(annotation: object) -> set:
    arguments = get_args(annotation)
    return {annotation}.union(*map(flat, arguments)) if arguments else {annotation}


def test_numbers_go_into_float32():
    bounds = [
        part.le
        for model, name in fields_of(TrialConfig)
        for part in model.model_fields[name].metadata
        if isinstance(part, annotated_types.Le)
    ]
    assert len(bounds) > 20 and max(bounds) < LARGEST_FLOAT32 and math.isfinite(max(bounds))


TOO_LARGE = [
    ("batch_size: 1e22", "batch_size has 1e+22; must be a smaller whole number"),
    (f"batch_size: 1{'0' * 22}", f"batch_size has 1{'0' * 22}; must be less than or equal to 1000000"),
    ("data.max_length: 1000001", "data.max_length has 1000001; must be less than or equal to 1000000"),
    (f"adapter.rank: {10**20}", f"adapter.rank has {10**20}; must be less than or equal to 10000000000000"),
    (f"epochs: {'9' * 400}", f"epochs has {'9' * 160}...; must be less than or equal to 1000000"),
    ("hidden_layers: 200000", "hidden_layers has 200000; must be less than or equal to 100 or a mapping"),
    ("smart.epsilon: 1e300", "smart.epsilon has 1e+300; must be less than or equal to 1000000"),
    ("learning_rate: 1e39", "learning_rate has 1e+39; must be less than or equal to 1e+38"),
    ('init_from: "a\\0"', "init_from has 'a\\x00'; must not hold a null byte"),
    ('encoder: ""', "encoder has ''; must not be empty"),
    ("adapter.target_modules: ['']", "adapter.target_modules.0 has ''; must not be empty"),
]
OF_A_TRIAL = [
    (f"learning_rate: {'9' * 400}", f"learning_rate has {'9' * 160}...; must be a smaller number"),
    ("data.max_train_rows: 1e22", "data.max_train_rows has 1e+22; must be a smaller whole number or a mapping"),
    ("data: {max_train_rows: {sst: 2000000000}}", "data.max_train_rows.sst has 2000000000; must be less than or equal"),
    ("data: {train_files: {sst: ''}}", "data.train_files.sst has ''; must not be empty"),
]


@pytest.mark.parametrize(("text", "expected"), [*TOO_LARGE, *OF_A_TRIAL])
def test_what_is_too_large_or_no_name_is_told_in_one_line(tmp_path, text, expected):
    path = tmp_path / "config.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    [problem] = caught.value.problems
    assert problem.startswith(f"{path}:1: {expected}") and "\0" not in problem


@pytest.mark.parametrize(("text", "expected"), TOO_LARGE)
def test_a_search_space_says_the_same(tmp_path: Path, text, expected):
    path = tmp_path / "space.yaml"
    path.write_text(f"""\
name: x
objectives: {{dev_score: {{direction: maximize, reference: 0.1}}}}
search: {{dropout: {{uniform: [0, 0.5]}}}}
trials: 2
fixed:
  {text}
""")
    with pytest.raises(ConfigError) as caught:
        load_search_space(path)
    [problem] = caught.value.problems
    assert problem.startswith(f"{path}:6: fixed.{expected}")
