"""What the package exports, and that nothing slow is imported before it is used."""

import subprocess
import sys

import pytest

import mtbert_ray

SLOW = {"torch", "transformers", "ray", "pandas", "matplotlib", "optuna"}
PUBLIC = {
    "HalvingConfig",
    "LoadedModel",
    "Objective",
    "ParetoScheduler",
    "Report",
    "SearchSpace",
    "TrialConfig",
    "__version__",
    "load",
    "load_report",
    "read_journal",
    "resume_sweep",
    "run_sweep",
}


def imported_after(code: str) -> set[str]:
    """The slow libraries that a fresh process has imported after some code."""
    code = f"import sys\n{code}\nprint(*({SLOW!r} & set(sys.modules)))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_the_public_names():
    assert set(mtbert_ray.__all__) == PUBLIC <= set(dir(mtbert_ray))
    assert all(getattr(mtbert_ray, name).__doc__ for name in PUBLIC - {"__version__"})


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="laod"):
        _ = mtbert_ray.laod


def test_importing_the_package_imports_nothing_slow():
    assert imported_after("import mtbert_ray; dir(mtbert_ray)") == set()


@pytest.mark.parametrize("name", ["TrialConfig", "SearchSpace", "Objective", "HalvingConfig", "read_journal"])
def test_what_needs_no_model_and_no_cluster_imports_nothing_slow(name):
    assert imported_after(f"from mtbert_ray import {name}") == set()


def test_a_report_is_loaded_without_torch_ray_and_optuna():
    assert not imported_after("from mtbert_ray import load_report") & {"torch", "transformers", "ray", "optuna"}


def test_the_scheduler_imports_no_torch():
    assert not imported_after("from mtbert_ray import ParetoScheduler") & {"torch", "transformers"}
