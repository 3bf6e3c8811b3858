"""What a user asks for, checked as far as that takes neither torch nor Ray: the YAML, the options, the journal."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtbert_ray.config import dotted
from mtbert_ray.config.file import problem_with_data_directory
from mtbert_ray.config.trial import never_with_effect
from mtbert_ray.config.yaml_lines import read_yaml_mapping, read_yaml_text
from mtbert_ray.errors import ConfigError, JournalError, shown
from mtbert_ray.journal import read_journal, refuse_used_folder, writing_alone
from mtbert_ray.mistakes import problems_of
from mtbert_ray.study.space import SearchSpace, load_search_space
from mtbert_ray.trial import Sweep

SPACE_NAME = "space.yaml"
"""The search space as the user wrote it, in the sweep's folder."""
_CAN_CHANGE = ("trials", "time_budget_minutes", "resources.concurrent_trials")
"""Keys of a search space that a resumed sweep takes from an edited space.yaml."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """A sweep that is asked for, checked as far as its YAML and its journal go."""

    space: SearchSpace
    space_text: str | None
    """The search space as the user wrote it; none for sweeps of earlier versions."""
    folder: Path
    earlier: Sweep | None = None
    """The sweep to resume."""
    notes: tuple[str, ...] = ()
    """What the user should know before it starts."""


def new_request(
    space_file: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    num_trials: int | None = None,
    overrides: Sequence[str] = (),
) -> SweepRequest:
    """Return a request for a new sweep.

    The arguments are those of the command line. Warns of a key that has no effect in any trial.

    Raises:
        ConfigError: mistakes in the YAML or the options, all of them at once.
        JournalError: the folder is used.
    """
    text = None if data is None else problem_with_data_directory(data)
    of_data = [] if text is None else [f"--data {data}: {text}"]
    try:
        space = load_search_space(
            space_file,
            overrides=overrides,
            data_directory=None if data is None else str(data),
            num_trials=num_trials,
        )
    except ConfigError as error:
        raise ConfigError([*error.problems, *of_data]) from error
    if of_data:
        raise ConfigError(of_data)
    return request_of(space, space_file.read_text(encoding="utf-8-sig"), out=out)


def request_of(space: SearchSpace, space_text: str | None = None, *, out: Path | None = None) -> SweepRequest:
    """Return a request for a new sweep over a search space that is there already; see `new_request`."""
    text = _written(space) if space_text is None else space_text
    # Whoever resumes this sweep may do so from another folder.
    space = space.with_absolute_paths()
    for key, reason in never_with_effect(space.example_configs()).items():
        warnings.warn(f"{key} has no effect in any trial: {reason}", stacklevel=2)
    folder = out or Path("reports") / f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    refuse_used_folder(folder)
    return SweepRequest(space=space, space_text=text, folder=folder)


def _written(space: SearchSpace) -> str:
    """Return a search space as `load_search_space` reads it; JSON is YAML."""
    content = space.model_dump(mode="json", exclude_defaults=True)
    for key, parameter in content.get("search", {}).items():
        kind = space.search[key].kind
        parameter.pop("kind", None)
        values = parameter.pop("values") if kind == "choice" else [parameter.pop("low"), parameter.pop("high")]
        content["search"][key] = {kind: values, **parameter}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def resume_request(folder: Path, *, num_trials: int | None = None) -> SweepRequest:
    """Return a request to resume the sweep of a folder.

    Without `num_trials`, the number in all, it keeps what was planned, or takes that of an edited space.yaml.

    Raises:
        ConfigError: the search space is of another version, or space.yaml was edited and has mistakes.
        JournalError: there is no sweep, another process runs it, or nothing of it is left to run.
    """
    sweep = read_journal(folder)
    with writing_alone(folder):
        pass  # Better refused now than after the data has been read.
    try:
        space = SearchSpace.model_validate(sweep.started.space)
    except ValidationError as error:
        where = f"{folder}: the search space of another version of this program"
        raise ConfigError(problems_of(error, where, SearchSpace, sweep.started.space)) from error
    space = space.model_copy(update={"trials": sweep.num_trials})
    space, text, notes = _with_edits(space, folder, sweep)
    if num_trials is not None:
        space = space.model_copy(update={"trials": num_trials})
    _check_anything_is_left(space, folder, sweep)
    return SweepRequest(space=space, space_text=text, folder=folder, earlier=sweep, notes=tuple(notes))


def _with_edits(space: SearchSpace, folder: Path, sweep: Sweep) -> tuple[SearchSpace, str | None, list[str]]:
    """Return the space with what can be taken from a space.yaml that was edited since, that file's text, and notes."""
    known = [text for text in (sweep.started.space_text, *(one.space_text for one in sweep.resumed)) if text]
    path = folder / SPACE_NAME
    if not known or not path.is_file():
        return space, None, []
    text = path.read_text(encoding="utf-8-sig")
    if text == known[-1]:
        return space, text, []
    edited = load_search_space(path)
    before, now = dotted(read_yaml_text(known[-1])), dotted(read_yaml_mapping(path)[0])
    notes, taken = [], {}
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) == now.get(key):
            continue
        change = f"{path}: {key} was {shown(before.get(key))} and is now {shown(now.get(key))}"
        if key in _CAN_CHANGE:
            taken[key.partition(".")[0]] = True
            notes.append(f"{change}: taken")
        else:
            notes.append(f"{change}: not taken; start a new sweep for it, with warm_start_from: [{folder}]")
    update: dict[str, Any] = {name: getattr(edited, name) for name in taken if name != "resources"}
    if "resources" in taken:
        concurrent = {"concurrent_trials": edited.resources.concurrent_trials}
        update["resources"] = space.resources.model_copy(update=concurrent)
    return space.model_copy(update=update), text, notes


def _check_anything_is_left(space: SearchSpace, folder: Path, sweep: Sweep) -> None:
    from mtbert_ray.study.study import trials_possible  # It brings Optuna.
    from mtbert_ray.study.warm_start import read_earlier_sweeps

    earlier = read_earlier_sweeps(space, sweep.started.objectives, missing_ok=True)
    planned, count = space.num_trials, len(sweep.trials)
    total = trials_possible(planned, space, sweep, earlier)
    if total is None or total > sweep.num_ended:
        return
    if planned is not None and count < planned:
        raise JournalError(f"{folder}: its {count} trials have ended, and the sweeps of warm_start_from tried the rest")
    raise JournalError(f"{folder}: all {count} trials of this sweep have ended; give --trials N, more in all")
