"""Made-up files in the course's format."""

from pathlib import Path

COURSE = {
    "ids-sst-{}.csv": ("\tid\tsentence\tsentiment", "{n}\ts{n:03}\tThe {n}. film of the day\t{label}", 5),
    "quora-{}.csv": (
        "\tid\tsentence1\tsentence2\tis_duplicate",
        "{n}\tq{n}\tIs it {n} ?\tAre there {n} ?\t{label}.0",
        2,
    ),
    "sts-{}.csv": ("\tid\tsentence1\tsentence2\tsimilarity", "{n}\tp{n}\tA cat sits\tThe {n} cats\t{label}.5", 5),
}
"""Name of a file -> its header, a row, and how many classes its labels go through."""


def write_course(folder: Path) -> Path:
    """Write 12 rows for training and dev; 5 test rows without labels, and none of quora."""
    for name, (header, row, classes) in COURSE.items():
        rows = [row.format(n=n, label=n % classes) for n in range(12)]
        for split in ("train", "dev"):
            (folder / name.format(split)).write_text("\n".join([header, *rows]) + "\n")
        if not name.startswith("quora"):
            unlabeled = [line.rsplit("\t", 1)[0] for line in (header, *rows[:5])]
            (folder / name.format("test-student")).write_text("\n".join(unlabeled) + "\n")
    return folder
