"""What became of the rows of a source: how many were read, left out, or have no text. Said wherever rows are read."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Rows that lack something."""

    count: int = 0
    places: str = ""
    """The first few of them, as `row 60, row 71`."""


@dataclass(frozen=True, kw_only=True)
class RowsRead:
    """The rows of a source, counted."""

    num_rows: int
    """Below the header, those that were left out among them."""
    unlabelled: Gaps = Gaps()
    """Rows without a label."""
    unknown: Gaps = Gaps()
    """Rows whose label is not one of the task's; they occur among rows to predict alone."""
    keeps_unlabelled: bool = False
    """Whether these are read all the same, as for predictions; else they are left out."""
    empty: Gaps = Gaps()
    """Rows of which a sentence is empty; they are kept."""
    num_blank_lines: int = 0
    """Lines of a text file that are no rows: nothing but spaces stands there."""
    dev_rows: str | None = None
    """How these rows were cut from the training rows, as `120 of 1,200 training rows, drawn with seed 0`."""

    num_for_dev: int = 0
    """Training rows that were cut off as dev rows; said with what else there is to say, for the dev rows say it."""

    def said(self) -> str | None:
        """Return what a user should know of them, or None where every row was read and has what it needs."""
        if self.dev_rows is not None:
            return self.dev_rows
        facts = []
        if self.unlabelled.count:
            without = f"no label: {self.unlabelled.places}"
            if self.keeps_unlabelled:
                facts.append(f"{self.unlabelled.count:,} not scored ({without})")
            else:
                facts.append(f"{self.unlabelled.count:,} left out ({without})")
        if self.unknown.count:
            facts.append(f"{self.unknown.count:,} not scored (no label of the task's: {self.unknown.places})")
        if self.empty.count:
            facts.append(f"{self.empty.count:,} with an empty text ({self.empty.places})")
        if self.num_blank_lines:
            facts.append(f"{_counted(self.num_blank_lines, 'blank line')} passed over")
        if not facts:
            return None
        if self.num_for_dev:
            facts.append(f"{self.num_for_dev:,} are dev rows")
        left_out = 0 if self.keeps_unlabelled else self.unlabelled.count
        read = f"{self.num_rows - left_out:,} of {self.num_rows:,} rows" if left_out else f"{self.num_rows:,} rows"
        return "; ".join([read, *facts])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
