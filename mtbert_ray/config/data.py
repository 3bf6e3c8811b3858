"""DataConfig: where the rows of the known tasks are, and how many are used."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.schema import MAX_ROWS, MAX_STEPS, Name, Schema
from mtbert_ray.tasks import absolute

RowLimit = Annotated[int, Field(ge=1, le=MAX_ROWS)]


class DataConfig(Schema):
    """Where the rows of sst, quora and sts are, and how many are used."""

    source: Literal["toy", "course"] = "toy"
    """`toy`: a small generated corpus. `course`: the CS224N course's files in `directory`."""
    directory: Name | None = None
    """Folder of the course's files (ids-sst-train.csv and so on)."""
    train_files: dict[str, Name] = Field(default_factory=dict)
    """Task -> file with its training rows in place of the source's, in the same columns: a topic-balanced sample of
    `python -m mtbert_ray.sample`, for instance."""
    max_train_rows: RowLimit | dict[str, RowLimit] | None = None
    """At most so many training rows, drawn with the seed: one number for every task, or one a task (a task that is not
    named is not limited). None takes all."""
    max_dev_rows: int | None = Field(default=None, ge=2, le=MAX_ROWS)
    """At most so many dev rows a task, the same ones for every trial; none takes all."""
    max_length: int = Field(default=128, ge=8, le=MAX_STEPS)
    """Longest sequence in tokens, special tokens included; longer ones are cut, the longer sentence of a pair first."""

    @model_validator(mode="after")
    def _course_has_a_directory(self) -> Self:
        if self.source == "course" and self.directory is None:
            raise ValueError("source 'course' needs directory; give --data DIR, the folder of the course's files")
        return self

    def max_train_rows_of(self, task_name: str) -> int | None:
        """Return the limit of one task's training rows; none takes all."""
        limit = self.max_train_rows
        return limit.get(task_name) if isinstance(limit, dict) else limit

    def on_course_files(self, directory: Path) -> "DataConfig":
        """Return the same limits on the course's files in a folder."""
        return self.model_copy(update={"source": "course", "directory": str(directory)})

    def with_absolute_paths(self) -> "DataConfig":
        """Return the same with every file and folder by its absolute path."""
        return self.model_copy(
            update={
                "directory": None if self.directory is None else absolute(self.directory),
                "train_files": {task: absolute(file) for task, file in self.train_files.items()},
            }
        )
