"""Errors cross processes: a worker's is pickled on its way to the driver."""

import pickle

import pytest

from mtbert_ray import errors
from mtbert_ray.errors import ConfigError, DiskError, DivergedError, Mistake, RayLostError, UserError, did_you_mean

EXIT_CODES = {DivergedError: 1, RayLostError: 3, DiskError: 4}
PROBLEMS = ["a.yaml: epochs has 'x'", "a.yaml: unknown key 'epoch'"]


def test_a_config_error_keeps_its_problems_through_a_pickle():
    error = pickle.loads(pickle.dumps(ConfigError(PROBLEMS)))
    assert error.problems == tuple(PROBLEMS)
    assert str(error) == "\n".join(PROBLEMS)


def test_a_mistake_keeps_its_fields_through_a_pickle():
    mistake = Mistake("a.yaml:3: trials has 0", code="out_of_bounds", place="a.yaml:3", line=3, key="trials")
    [copy] = pickle.loads(pickle.dumps(ConfigError([mistake]))).problems
    assert (copy, copy.code, copy.place, copy.line, copy.key) == (mistake, "out_of_bounds", "a.yaml:3", 3, "trials")
    assert Mistake("a.yaml: is empty").line is None


@pytest.mark.parametrize("kind", sorted(UserError.__subclasses__(), key=str), ids=lambda kind: kind.__name__)
def test_every_user_error_keeps_its_text_and_its_exit_code_through_a_pickle(kind):
    assert kind.__module__ == errors.__name__
    error = kind(["one"]) if kind is ConfigError else kind("one")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.exit_code) == (kind, "one", EXIT_CODES.get(kind, 2))


@pytest.mark.parametrize(
    ("got", "hint"),
    [
        ("lroa", "; did you mean 'lora'?"),
        ("zebra", ""),
        (3, ""),
        (None, "; did you mean 'none'?"),
        (["lora"], "; did you mean 'lora'?"),
    ],
)
def test_only_a_near_name_is_hinted_at(got, hint):
    assert did_you_mean(got, ["none", "lora", "dora"]) == hint
