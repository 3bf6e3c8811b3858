"""Says in what a sample of training rows was drawn otherwise than the paper's.

Reads the JSON that `python -m mtbert_ray.sample` puts beside its rows, and no rows. Knows no trials.
"""

import json
from pathlib import Path, PurePath
from typing import Any

from mtbert_ray.reporting.published_settings import PublishedSettings
from mtbert_ray.reporting.wording import setting_value


def sample_departures(task: str, file: PurePath, settings: PublishedSettings) -> list[str]:
    """Return what a file of training rows has otherwise than the paper's sample; that nothing tells is one as well.

    Args:
        task: whose rows they are.
        file: the rows; how they were drawn stands beside them under the same name, as JSON.
        settings: what the paper's run had.
    """
    key, paper = f"data.train_files.{task}", settings.sample
    about = _about(Path(file).with_suffix(".json"))
    if about is None:
        drawn = settings.named(key, f"by topic, {paper.method}")
        return [f"a sample of {task} drawn in a way that no {file.stem}.json here tells ({drawn})"]
    expected: dict[str, object] = {"rows": paper.rows, "method": paper.method}
    if about.get("method") == paper.method:
        expected["model"] = paper.model
    found = [
        f"a sample of {task} with {name} {_shown(about.get(name))} ({settings.named(key, _shown(value))})"
        for name, value in expected.items()
        if about.get(name) != value
    ]
    if _shares(about) != paper.shares:
        found.append(f"a sample of {task} with other topics or shares than the paper's")
    return found


def _about(path: Path) -> dict[str, Any] | None:
    """Return how a sample was drawn; None where no file tells."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and "method" in about else None


def _shares(about: dict[str, Any]) -> dict[str, Any]:
    topics = about.get("topics")
    topics = topics if isinstance(topics, dict) else {}
    return {name: topic.get("share") if isinstance(topic, dict) else None for name, topic in topics.items()}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if type(value) is int else setting_value(value)
