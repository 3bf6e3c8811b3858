"""What a user asks for, checked as far as that takes neither torch nor Ray: the YAML, the options, the journal."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.config.file import problem_with_data_directory
from mtbert_ray.config.keys import add_violations, unknown_key
from mtbert_ray.config.trial import never_with_effect
from mtbert_ray.config.yaml_lines import read_yaml_mapping, read_yaml_text, text_of
from mtbert_ray.errors import ConfigError, NothingLeftError, shown
from mtbert_ray.files import refuse_links
from mtbert_ray.journal import JOURNAL_NAME, read_journal, refuse_used_folder, writing_alone
from mtbert_ray.metrics import Objectives
from mtbert_ray.mistakes import problems_of, violations_in
from mtbert_ray.study.space import SearchSpace, load_search_space
from mtbert_ray.study.space.read_back import read_space
from mtbert_ray.trial import Sweep

if TYPE_CHECKING:
    from mtbert_ray.study.reruns import Rerun

SPACE_NAME = "space.yaml"
"""The search space as the user wrote it, in the sweep's folder."""
_WRITTEN = (JOURNAL_NAME, SPACE_NAME, "trials", "tensorboard", "figures", "ray")
"""What a resumed sweep writes or removes in its folder."""
_CAN_CHANGE = ("trials", "repeats", "time_budget_minutes", "resources.concurrent_trials")
"""Keys of a search space that a resumed sweep takes from an edited space.yaml."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """A sweep that is asked for, checked as far as its YAML and its journal go."""

    space: SearchSpace
    space_text: str | None
    """The search space as the user wrote it; none for sweeps of earlier versions."""
    folder: Path
    num_left: int | None
    """Trials of the search to run; none if time alone decides."""
    earlier: Sweep | None = None
    """The sweep to resume."""
    reruns: "tuple[Rerun, ...]" = ()
    """Those that are left of a sweep to resume, if its front stays as it is."""
    repeats: int | None = None
    """As of `SweepResumed`."""
    remeasure: bool = False
    """As of `SweepResumed`."""
    notes: tuple[str, ...] = ()
    """What the user should know before it starts."""


def new_request(
    space_file: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    num_trials: int | None = None,
    repeats: int | None = None,
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
            repeats=repeats,
        )
    except ConfigError as error:
        raise ConfigError([*error.problems, *of_data]) from error
    if of_data:
        raise ConfigError(of_data)
    return request_of(space, text_of(space_file), out=out)


def request_of(space: SearchSpace, space_text: str | None = None, *, out: Path | None = None) -> SweepRequest:
    """Return a request for a new sweep over a search space that is there already; see `new_request`."""
    text = written(space) if space_text is None else space_text
    # Whoever resumes this sweep may do so from another folder.
    space = space.with_absolute_paths()
    for key, reason in never_with_effect(space.example_configs()).items():
        warnings.warn(f"{key} has no effect in any trial: {reason}", stacklevel=2)
    folder = out or Path("reports") / f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    refuse_used_folder(folder)
    num_left = _num_left(space, space.objectives, None)
    return SweepRequest(space=space, space_text=text, folder=folder, num_left=num_left)


def written(space: SearchSpace) -> str:
    """Return a search space as `load_search_space` reads it; JSON is YAML."""
    content = space.model_dump(mode="json", exclude_defaults=True)
    for key, parameter in content.get("search", {}).items():
        kind = space.search[key].kind
        parameter.pop("kind", None)
        values = parameter.pop("values") if kind == "choice" else [parameter.pop("low"), parameter.pop("high")]
        content["search"][key] = {kind: values, **parameter}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def resume_request(
    folder: Path, *, num_trials: int | None = None, repeat_front: int | None = None, remeasure: bool = False
) -> SweepRequest:
    """Return a request to resume the sweep of a folder.

    Args:
        folder: the sweep's.
        num_trials: the number in all; without it what was planned, or that of an edited space.yaml.
        repeat_front: further seeds of each trial on the front, those that it has included; none keeps what was asked
            for, or takes that of an edited space.yaml.
        remeasure: measure each trial on the front alone, once more; an interrupted remeasurement is completed.

    Raises:
        ConfigError: the search space or a trial is of another version, or space.yaml was edited and has mistakes.
        JournalError: there is no sweep, or another process runs it.
        NothingLeftError: nothing of it is left to run.
        UserError: what a sweep writes in its folder is a symbolic link.
    """
    refuse_links(folder, *_WRITTEN)
    sweep = read_journal(folder)
    with writing_alone(folder):
        pass  # Better refused now than after the data has been read.
    space = read_space(sweep.started.space, str(folder))
    space = space.model_copy(update={"trials": sweep.num_trials, "repeats": sweep.repeats})
    space, text, notes = _with_edits(space, folder, sweep)
    if num_trials is not None:
        space = space.model_copy(update={"trials": num_trials})
    if repeat_front is not None:
        space = space.model_copy(update={"repeats": repeat_front})
    if (repeat_front is not None or remeasure) and space.num_trials is None:
        space = space.model_copy(update={"trials": max(len(sweep.trials), len(space.points_to_evaluate))})
        notes.append(f"The search ends with {space.trials} trials; to have more later, resume with --trials N.")
    for trial in sweep.trials:
        if trial.is_interrupted:
            space.trial_config(trial.hyperparameters)  # It runs again.
    num_left = _num_left(space, sweep.started.objectives, sweep)
    reruns, starts_anew = _reruns_left(space.repeats, sweep, remeasure=remeasure)
    if remeasure and not starts_anew:
        notes.append("A remeasurement of the front was interrupted: this session completes it.")
    if num_left == 0 and not reruns:
        raise _nothing_left(space, folder, sweep, reruns_wanted=repeat_front is not None or remeasure)
    return SweepRequest(
        space=space,
        space_text=text,
        folder=folder,
        earlier=sweep,
        num_left=num_left,
        reruns=reruns,
        repeats=space.repeats if space.repeats != sweep.repeats else None,
        remeasure=starts_anew,
        notes=tuple(notes),
    )


def _reruns_left(repeats: int, sweep: Sweep, *, remeasure: bool) -> "tuple[tuple[Rerun, ...], bool]":
    """Return the reruns that are left of a sweep, and whether a new remeasurement is among them.

    Raises:
        ConfigError: the config of one is of another version.
    """
    if not remeasure and repeats == sweep.num_remeasurements == 0:
        return (), False
    from mtbert_ray.study.reruns import planned, without_ended  # It brings moocore.

    def left(num_remeasurements: int) -> "list[Rerun]":
        return without_ended(planned(sweep, repeats=repeats, num_remeasurements=num_remeasurements), sweep)

    reruns, times = left(sweep.num_remeasurements), sweep.num_remeasurements
    starts_anew = remeasure and not any(one.purpose == "remeasure" for one in reruns)
    if starts_anew:
        reruns = left(times + 1)
    problems: list[str] = []
    for one in reruns:
        try:
            TrialConfig.model_validate(one.config)
        except ValidationError as error:
            problems += problems_of(error, f"{one.of.trial_id}, a trial of another version", TrialConfig, one.config)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return tuple(reruns), starts_anew


def _with_edits(space: SearchSpace, folder: Path, sweep: Sweep) -> tuple[SearchSpace, str | None, list[str]]:
    """Return the space with what can be taken from a space.yaml that was edited since, that file's text, and notes.

    The copy lacks the options that the sweep was started with, so only what was edited counts.
    """
    known = [text for text in (sweep.started.space_text, *(one.space_text for one in sweep.resumed)) if text]
    path = folder / SPACE_NAME
    if not known or not path.is_file():
        return space, None, []
    text = text_of(path)
    if text == known[0] == known[-1]:
        return space, text, []
    written, problems = read_yaml_mapping(path)
    for key in written.keys() - SearchSpace.model_fields.keys():
        problems.add((key,), unknown_key(SearchSpace, key), "unknown_key")
    now, first, last = dotted(written), dotted(read_yaml_text(known[0])), dotted(read_yaml_text(known[-1]))
    notes = []
    for key in dict.fromkeys([*last, *now]):
        if last.get(key) != now.get(key):
            other = f"not taken; start a new sweep for it, with warm_start_from: [{folder}]"
            taken = "taken" if key in _CAN_CHANGE and key in now else other
            notes.append(f"{path}: {key} was {shown(last.get(key))} and is now {shown(now.get(key))}: {taken}")
    # The numbers of trials and repeats are written down with each session, the others only in the file.
    before = {**first, **{key: last.get(key) for key in ("trials", "repeats")}}
    edited = {key: now[key] for key in _CAN_CHANGE if key in now and now[key] != before.get(key)}
    content = space.model_dump(mode="json")
    content["resources"] |= {key.partition(".")[2]: edited.pop(key) for key in [*edited] if "." in key}
    try:
        space = SearchSpace.model_validate(content | edited)
    except ValidationError as error:
        add_violations(violations_in(error, SearchSpace, content | edited), problems)
    problems.raise_if_any()
    return space, text, notes


def _num_left(space: SearchSpace, objectives: Objectives, sweep: Sweep | None) -> int | None:
    """Return how many trials there are to run; none if time alone decides."""
    total, trials = space.num_trials, [] if sweep is None else sweep.trials
    if total is not None and space.warm_start_from:
        from mtbert_ray.study.warm_start import read_earlier_sweeps, trials_possible

        earlier = read_earlier_sweeps(space, objectives, missing_ok=sweep is not None)
        total = trials_possible(total, space, trials, earlier)
    return None if total is None else max(0, total - (0 if sweep is None else sweep.num_ended))


def _nothing_left(space: SearchSpace, folder: Path, sweep: Sweep, *, reruns_wanted: bool) -> NothingLeftError:
    planned, count = space.num_trials, len(sweep.trials)
    if reruns_wanted:
        from mtbert_ray.pareto.comparison import compare

        num_front = len(compare(sweep.trials, sweep.started.objectives).front)
        has_all = f"each of the {num_front} on its front has its repeats; give a larger --repeat-front N"
        why = has_all if num_front else "no trial is on a front"
        return NothingLeftError(f"{folder}: nothing is left to run: {why}; all trials have ended ({count})")
    if planned is not None and count < planned:
        return NothingLeftError(
            f"{folder}: all its trials have ended ({count}); warm_start_from's sweeps tried the rest"
        )
    return NothingLeftError(
        f"{folder}: all trials of this sweep have ended ({count}); give --trials N, more in all, or --repeat-front N "
        "or --remeasure front"
    )
