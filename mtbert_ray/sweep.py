"""Run a sweep: `python -m mtbert_ray.sweep SPACE.yaml`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mtbert_ray.cluster.capacity import cluster_capacity, local_capacity
from mtbert_ray.cluster.session import cluster_address, ray_session
from mtbert_ray.errors import UserError
from mtbert_ray.records import JOURNAL_NAME
from mtbert_ray.tuning.plan import Plan, check_inputs, describe, make_plan, refuse_used_folder
from mtbert_ray.tuning.search_space import SearchSpace, load_search_space
from mtbert_ray.tuning.sweep import SweepOutcome, run_sweep

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EXIT_ALL_FAILED = 1
EXIT_INTERRUPTED = 130
