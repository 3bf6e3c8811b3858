"""What is known of a checkpoint without its weights: its run's config, and which files its tasks can predict.

The commands check their arguments with it before torch is imported.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from mtbert_ray.config.trial import TrialConfig
from mtbert_ray.errors import CheckpointError, ConfigError, did_you_mean
from mtbert_ray.mistakes import problems_of
from mtbert_ray.tasks import TaskSpec

CHECKPOINT_CONFIG_NAME = "config.json"


def read_checkpoint_config(folder: Path) -> TrialConfig:
    """Return the config of a checkpoint.

    Raises:
        CheckpointError: the folder is not a checkpoint.
    """
    path = folder / CHECKPOINT_CONFIG_NAME
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return TrialConfig.model_validate_json(text)
    except OSError as error:
        below = folder / "checkpoint"
        if (below / CHECKPOINT_CONFIG_NAME).exists():
            raise CheckpointError(f"{folder}: not a checkpoint itself; give {below}") from error
        what = f"not a checkpoint (no {CHECKPOINT_CONFIG_NAME})" if folder.exists() else "no such folder"
        raise CheckpointError(f"{folder}: {what}; give a folder like reports/NAME/trials/ID/checkpoint") from error
    except ValidationError as error:
        is_json = all(detail["type"] != "json_invalid" for detail in error.errors())
        problems = problems_of(error, str(path), TrialConfig, json.loads(text) if is_json else text)
        raise CheckpointError("\n".join([f"{path}: not the configuration of a checkpoint:", *problems])) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not the configuration of a checkpoint: {error}") from error


def parse_files(texts: Sequence[str], config: TrialConfig) -> list[tuple[TaskSpec, Path]]:
    """Split each `TASK=PATH`, as --file takes it.

    Raises:
        ConfigError: no `=`, a task that is not the checkpoint's, or two files whose predictions would have one name.
    """
    tasks = {task.name: task for task in config.tasks}
    files: list[tuple[TaskSpec, Path]] = []
    problems: list[str] = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            problems.append(f"--file {text}: expected TASK=PATH, as {next(iter(tasks))}=rows.csv")
        elif name not in tasks:
            problems.append(f"--file {text}: no task '{name}'{did_you_mean(name, tasks)} ({', '.join(tasks)})")
        else:
            files.append((tasks[name], Path(path)))
    names = [predictions_name(task, path) for task, path in files]
    problems += [
        f"--file: the predictions of two files would both be {name}; rename one, or predict them apart"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise ConfigError(problems)
    return files


def predictions_name(task: TaskSpec, path: Path) -> str:
    """Return the name of the predictions for a file; those for dev and test end in -output.csv."""
    return f"{task.name}-{path.stem}-predictions.csv"
