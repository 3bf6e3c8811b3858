"""Damaged and made-up journals: what is read of them by reports and resumed sweeps.

Damage to what a sweep wrote must be refused or change nothing but what is torn off at the end. Made-up journals, with
right checksums and wrong values, must be refused in a line, or be reported and resumed.
"""

import json
import random
import shutil
import warnings
from collections import Counter
from pathlib import Path

from damage import BYTES, LINES, as_json, changed_value, try_each
from study_sessions import GRID, fail, finish, new_study, resumed_study, run_epochs, space_of, start, stop

from mtbert_ray.errors import UserError
from mtbert_ray.events import SweepFinished
from mtbert_ray.journal import JOURNAL_NAME, read_events, read_journal
from mtbert_ray.journal_lines import seal
from mtbert_ray.reporting import document
from mtbert_ray.reporting.document import write_report
from mtbert_ray.simulation.recorded import read_recorded
from mtbert_ray.study.request import resume_request
from mtbert_ray.study.session import resumed_session
from mtbert_ray.study.space.read_back import read_space
from mtbert_ray.study.warm_start import fit

ROOT = Path(__file__).parents[1]
OLD = (ROOT / "unit/study/old_sweep", ROOT / "unit/reporting/old_sweep")
_WRITERS_OF_PICTURES = document.png_of


def written_journals(folder: Path) -> list[bytes]:
    """Return journals of sweeps with every way in which a trial can end, in one session and in two."""
    journals = []
    for name, space in {
        "front": space_of(folder),
        "random": space_of(folder, "random"),
        "grid": space_of(folder, text=GRID),
    }.items():
        out = folder / name
        study = new_study(space, out)
        ids = start(study, 5)
        run_epochs(study, ids[0], [0.1, 0.2])
        finish(study, ids[1], 0.7)
        stop(study, ids[2], "rung")
        fail(study, ids[3], "diverged")
        if name != "random":
            study.add(SweepFinished(reason="interrupted"))
            study = resumed_study(out)
            finish(study, start(study)[0], 0.6)
        journals.append((out / JOURNAL_NAME).read_bytes())
    return journals


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many journals; return how they came out, as `try_each` does."""
    bases = written_journals(folder)
    old = [(path / JOURNAL_NAME).read_bytes() for path in OLD]
    place = folder / "case"

    def attempt(rng: random.Random, number: int) -> str:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            match number % 4:
                case 0 | 1:
                    return _try_damaged(rng, rng.choice(bases), place)
                case 2:
                    return _try_made_up(rng, rng.choice(bases), place)
                case _:
                    return _try_old(rng, rng.choice(old), place)

    document.png_of = lambda drawing: b""  # A second each.
    try:
        return try_each("journals", count, seed, attempt, failures=failures)
    finally:
        document.png_of = _WRITERS_OF_PICTURES


def _try_damaged(rng: random.Random, whole: bytes, case: Path) -> str:
    damaged = rng.choice(BYTES + LINES)(rng, whole)
    path = case / JOURNAL_NAME
    path.write_bytes(whole)
    before, _ = read_events(case)
    path.write_bytes(damaged)
    read = _read(case, before)
    _report_and_resume(case)
    if damaged == whole:
        return "damaged: nothing changed"
    lenient = _lenient(case, before)
    return f"damaged: {read}, {lenient}"


def _read(case: Path, before: list) -> str:
    try:
        events, torn = read_events(case)
    except UserError:
        return "refused"
    assert events == before[: len(events)], "what was accepted is not what was written"
    assert torn or len(events) in (len(before), _whole_lines(case)), "events are lost without an error"
    return "accepted: torn at its end" if torn else "accepted: shorter by whole lines"


def _whole_lines(case: Path) -> int:
    return (case / JOURNAL_NAME).read_bytes().count(b"\n")


def _lenient(case: Path, before: list) -> str:
    """Nothing that was not written may come out, and what is left out at the front or in the middle is said."""
    try:
        sweep = read_journal(case, lenient=True)
    except UserError:
        return "lenient refused"
    epochs = {(event.trial_id, str(event.metrics)) for event in before if event.event == "epoch"}
    for trial in sweep.trials:
        assert all((trial.trial_id, str(metrics)) in epochs for metrics in trial.epochs)
    return "lenient names it" if sweep.damage else "lenient finds nothing"


def _try_made_up(rng: random.Random, whole: bytes, case: Path) -> str:
    lines = whole.splitlines()
    place = 0 if rng.random() < 0.3 else rng.randrange(len(lines))
    content = json.loads(lines[place])
    del content["line"], content["crc32"]
    changed = changed_value(rng, content)
    text = as_json(changed).encode(errors="surrogatepass")
    lines[place] = seal(text, place + 1) if isinstance(changed, dict) and changed else text
    (case / JOURNAL_NAME).write_bytes(b"\n".join(lines) + b"\n")
    return f"made up: {_report_and_resume(case)}"


def _try_old(rng: random.Random, whole: bytes, case: Path) -> str:
    if rng.random() < 0.5:
        damaged = rng.choice(BYTES + LINES)(rng, whole)
    else:
        lines = whole.splitlines()
        place = rng.randrange(len(lines))
        lines[place] = as_json(changed_value(rng, json.loads(lines[place]))).encode(errors="surrogatepass")
        damaged = b"\n".join(lines) + b"\n"
    (case / JOURNAL_NAME).write_bytes(damaged)
    return f"of an earlier version: {_report_and_resume(case)}"


def _report_and_resume(case: Path) -> str:
    outcome = []
    for lenient in (False, True):
        try:
            write_report(case, lenient=lenient)
            outcome.append("reported")
        except UserError as error:
            _check_message(error)
            outcome.append("refused")
    try:
        sweep = read_journal(case)
        fit("earlier", sweep, read_space(sweep.started.space, "earlier"), sweep.started.objectives)
        read_recorded([case])
    except UserError as error:
        _check_message(error)
    try:
        request = resume_request(case)
        with resumed_session(case, num_trials=request.space.trials, space_text=None, cluster="") as study:
            for _ in range(2):
                study.ask()
        outcome.append("resumed")
    except UserError as error:
        _check_message(error)
        outcome.append("not resumed")
    assert not [path for path in case.parent.iterdir() if path.name == "outside"]
    return f"{outcome[0]}, lenient {outcome[1]}, {outcome[2]}"


def _check_message(error: UserError) -> None:
    text = str(error)
    assert text and "Traceback" not in text and "pydantic" not in text, text
    assert len(text) < 5000, f"a message of {len(text)} characters"
