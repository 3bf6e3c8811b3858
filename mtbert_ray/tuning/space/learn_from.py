"""Checks `learn_from`, the folders of earlier sweeps: that there is a readable journal in each."""

import os
from pathlib import Path

from mtbert_ray.config.places import Problems
from mtbert_ray.errors import JournalError
from mtbert_ray.journal import read_journal
from mtbert_ray.mistakes import shown_briefly
from mtbert_ray.tasks import absolute
from mtbert_ray.tuning.space.parameters import YamlValue


def check_learn_from(raw: YamlValue, problems: Problems) -> tuple[str, ...]:
    """Return the folders by their absolute paths; the mistakes go to `problems`."""
    if not isinstance(raw, list):
        text = (
            f"learn_from has {shown_briefly(raw)}; must be a list of the folders of earlier sweeps, as [reports/first]"
        )
        problems.add(("learn_from",), text)
        return ()
    folders: dict[str, int] = {}
    for index, name in enumerate(raw):
        path, place = ("learn_from", str(index)), f"learn_from.{index}"
        if not isinstance(name, str):
            problems.add(path, f"{place} has {shown_briefly(name)}; must be a text, the folder of an earlier sweep")
            continue
        if not name.strip() or "\0" in name:
            problems.add(path, f"{place} has {shown_briefly(name)}; must be the folder of an earlier sweep")
            continue
        folder = absolute(name)
        if folder in folders:
            problems.add(path, f"{place} is the same folder as learn_from.{folders[folder]}; keep one of the two")
            continue
        folders[folder] = index
        if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises for a name that is too long.
            is_file = os.path.isfile(folder)  # noqa: PTH113
            what = "is a file; give a folder" if is_file else "no such folder. Give the folder of a sweep (its --out)"
            problems.add(path, f"{place}: {folder}: {what}")
            continue
        try:
            read_journal(Path(folder))
        except JournalError as error:
            problems.add(path, f"{place}: {error}")
    return tuple(folders)
