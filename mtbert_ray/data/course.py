"""The files of the CS224N course's final project: sst, quora and sts as tab-separated text.

The course calls them .csv. The first column of each is an unnamed index, and the sst test file has two of them; both
are ignored. There is no test file of quora in the public set, so a missing test file means that there is no test data.
"""

from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.data.delimited import BY_COURSE
from mtbert_ray.data.table import RawTable, Split, read_table
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns

COURSE_SEPARATOR = "\t"
FILE_ENDINGS: dict[Split, str] = {"train": "train", "dev": "dev", "test": "test-student"}


@dataclass(frozen=True, kw_only=True)
class CourseFiles:
    """How the files of one task begin, and what their columns are called."""

    stem: str
    columns: Columns

    def name(self, split: Split) -> str:
        """Return the file's name, as `ids-sst-dev.csv`."""
        return f"{self.stem}-{FILE_ENDINGS[split]}.csv"


COURSE_FILES = {
    "sst": CourseFiles(stem="ids-sst", columns=Columns(id="id", sentence1="sentence", label="sentiment")),
    "quora": CourseFiles(stem="quora", columns=Columns(id="id", sentence2="sentence2", label="is_duplicate")),
    "sts": CourseFiles(stem="sts", columns=Columns(id="id", sentence2="sentence2", label="similarity")),
}


def read_course(task_name: str, directory: Path, split: Split) -> RawTable | None:
    """Read one file of the course; none when it is a test file that is not there.

    Raises:
        DataError: a training or dev file is missing, or a file cannot be read.
    """
    files = COURSE_FILES[task_name]
    path = directory / files.name(split)
    if not path.exists():
        if split == "test":
            return None
        raise DataError(
            f"{path}: no such file; data.directory (or --data) must be the folder of the course's files, here with "
            f"{files.name('train')} and {files.name('dev')}"
        )
    table = read_table(path, separator=COURSE_SEPARATOR, remedies=BY_COURSE)
    return RawTable(
        frame=table.frame,
        num_blank_lines=table.num_blank_lines,
        columns=files.columns,
        origin=str(path),
        columns_from="the course's format; get the file anew, or give the task a source of its own",
    )
