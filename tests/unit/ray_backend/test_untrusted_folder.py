"""A sweep's folder that came from anywhere: nothing outside of it is written, changed or removed."""

import json
import os
import shutil
from pathlib import Path

import pytest
from study_sessions import new_study, resumed_study, space_of, start

from mtbert_ray.errors import JournalError, UserError
from mtbert_ray.events import EpochFinished, TrialFinished
from mtbert_ray.files import empty_folder, put_file, refuse_links, remove_below
from mtbert_ray.journal import JOURNAL_NAME, Journal, read_journal, writing_alone
from mtbert_ray.journal_lines import seal
from mtbert_ray.ray_backend.trial_files import TrialFiles
from mtbert_ray.reporting import document
from mtbert_ray.reporting.document import write_report
from mtbert_ray.study.request import resume_request


@pytest.fixture(autouse=True, scope="module")
def _empty_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "png_of", lambda drawing: b"")
        yield


@pytest.fixture
def outside(tmp_path) -> Path:
    """Somebody's own files, beside the sweep."""
    folder = tmp_path / "outside"
    (folder / "t000").mkdir(parents=True)
    for name in ("mine.txt", "t000/mine.txt", "journal.jsonl", "index.html"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture(scope="module")
def killed_sweep(tmp_path_factory) -> Path:
    """A sweep of which t000 was running and t001 finished, with the folders that it had made."""
    folder = tmp_path_factory.mktemp("killed")
    study = new_study(space_of(folder, "random"), folder / "sweep")
    study.observers.append(TrialFiles(folder / "sweep"))
    first, second = start(study, 2)
    finish_with_steps(study, second)
    study.add(TrialFinished(trial_id=second))
    assert (first, second) == ("t000", "t001")
    write_report(folder / "sweep")
    return folder / "sweep"


@pytest.fixture
def sweep(killed_sweep, tmp_path) -> Path:
    return Path(shutil.copytree(killed_sweep, tmp_path / "sweep"))


def finish_with_steps(study, trial_id):
    study.add(EpochFinished(trial_id=trial_id, metrics={"epoch": 1, "step": 1, "sst": 0.5, "dev_score": 0.5}))


def state_of(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def resume(folder: Path) -> None:
    """Do what `--resume` does in a sweep's folder, without trials."""
    resume_request(folder)
    study = resumed_study(folder)
    study.observers.append(TrialFiles(folder))
    for trial_id in start(study, 2):
        finish_with_steps(study, trial_id)
        study.add(EpochFinished(trial_id=trial_id, metrics={"epoch": 2, "step": 2}))
    write_report(folder)


def test_resuming_continues_an_interrupted_trial_in_its_folder_without_its_links(sweep, outside):
    folder = sweep / "trials/t000"
    (folder / "state").mkdir()
    (folder / "state" / "complete.json").write_text("of the interrupted attempt")
    for name in ("checkpoint", "state/step-1-epochs-1.rank-0.pt", "config.yaml.new", "heartbeat-0.new"):
        (folder / name).symlink_to(outside)
    before = state_of(outside)
    resume(sweep)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "state"]
    assert [path.name for path in (folder / "state").iterdir()] == ["complete.json"]
    assert state_of(outside) == before


NAMES = ["..", "../outside", ".", "", "/", "t000/..", "../../outside", "OUTSIDE", "./t000", "~", "-rf", "t000\n"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_trial_named_like_another_folder_is_refused(sweep, outside, name, is_sealed):
    name = name.replace("OUTSIDE", str(outside))
    lines = [json.loads(line) for line in (sweep / JOURNAL_NAME).read_bytes().splitlines()]
    made = []
    for number, line in enumerate(lines, start=1):
        del line["line"], line["crc32"]
        line |= {"trial_id": name} if line.get("trial_id") == "t000" else {}
        text = json.dumps(line).encode()
        made.append(seal(text, number) if is_sealed else text)
    (sweep / JOURNAL_NAME).write_bytes(b"\n".join(made) + b"\n")
    before = state_of(sweep.parent)
    for read in (resume_request, write_report, read_journal):
        with pytest.raises(JournalError, match="trial_id"):
            read(sweep)
    assert state_of(sweep.parent) == before


@pytest.mark.parametrize("name", ["trials", "tensorboard", "ray", "figures", JOURNAL_NAME, "space.yaml"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_link_in_the_folder_is_not_followed(sweep, outside, name, is_relative):
    path = sweep / name
    if path.exists():
        path.rename(sweep / "moved")
    target = outside / name if name == JOURNAL_NAME else outside
    if name == JOURNAL_NAME:
        target.write_bytes((sweep / "moved").read_bytes())
    path.symlink_to(os.path.relpath(target, sweep) if is_relative else target)
    before = state_of(outside)
    with pytest.raises(UserError, match="symbolic link"):
        resume_request(sweep)
    assert state_of(outside) == before


def test_a_journal_that_is_a_link_is_never_written(sweep, outside):
    (outside / JOURNAL_NAME).write_bytes((sweep / JOURNAL_NAME).read_bytes())
    (sweep / JOURNAL_NAME).unlink()
    (sweep / JOURNAL_NAME).symlink_to(outside / JOURNAL_NAME)
    for use in (Journal.reopen, lambda folder: writing_alone(folder).__enter__()):
        with pytest.raises(JournalError, match="symbolic link"):
            use(sweep)
    assert read_journal(sweep).trials  # Reading changes nothing.


@pytest.mark.parametrize("name", ["trials/t000", "tensorboard/t000", "trials/t002", "tensorboard/t002"])
@pytest.mark.parametrize("target", ["outside", "outside/mine.txt", "outside/nowhere"])
def test_a_link_in_place_of_a_trial_s_folder_is_taken_away(sweep, outside, name, target):
    remove_below(sweep, name)
    (sweep / name).symlink_to(sweep.parent / target)
    before = state_of(outside)
    resume(sweep)
    assert state_of(outside) == before
    assert (sweep / name).is_dir() and not (sweep / name).is_symlink()


def test_what_a_link_inside_a_trial_s_folder_leads_to_stays(sweep, outside):
    (sweep / "trials/t000/checkpoint").symlink_to(outside)
    before = state_of(outside)
    resume(sweep)
    assert state_of(outside) == before


def test_a_link_that_appears_while_a_sweep_runs_is_not_followed(sweep, outside):
    study = resumed_study(sweep)
    study.observers.append(TrialFiles(sweep))
    (sweep / "trials").rename(sweep / "moved")
    (sweep / "trials").symlink_to(outside)
    before = state_of(outside)
    with pytest.raises(UserError, match="symbolic link"):
        start(study)
    assert state_of(outside) == before


def test_a_report_follows_no_link(sweep, outside):
    for name in ("index.html", "report.md", "trials.csv", f".index.html.{os.getpid()}.tmp"):
        (sweep / name).unlink(missing_ok=True)
        (sweep / name).symlink_to(outside / "index.html")
    before = state_of(outside)
    write_report(sweep)
    assert state_of(outside) == before and not (sweep / "index.html").is_symlink()
    (sweep / "figures").rename(sweep / "moved")
    (sweep / "figures").symlink_to(outside)
    with pytest.raises(UserError, match="symbolic link"):
        write_report(sweep)
    assert state_of(outside) == before


def test_files_are_put_in_their_place_past_links(tmp_path, outside):
    for name in ("model", "model.new"):
        (tmp_path / name).symlink_to(outside / "mine.txt")
    put_file(tmp_path / "model", lambda new: new.write_text("new"))
    assert (tmp_path / "model").read_text() == "new" and (outside / "mine.txt").read_text() == "mine"


def test_links_above_a_folder_are_refused_and_those_in_its_place_removed(tmp_path, outside):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(UserError):
        refuse_links(root, "link/t000")
    for use in (remove_below, empty_folder):
        with pytest.raises(UserError):
            use(root, "link/t000")
    assert (outside / "t000/mine.txt").exists()
    remove_below(root, "link")
    assert not (root / "link").is_symlink() and (outside / "mine.txt").exists()
    assert empty_folder(root, "a/b").is_dir() and remove_below(root, "a/nothing") == root / "a/nothing"
