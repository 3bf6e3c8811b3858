"""Where a task's rows are: files of the user's or a data set of the Hugging Face Hub, and how they are read."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from mtbert_ray.schema import Schema


class Columns(Schema):
    """Which column of a table holds what."""

    sentence1: str = "sentence1"
    """The sentence, or the first of a pair."""
    sentence2: str | None = None
    """The second sentence of a pair; none for `classification` and `regression`."""
    label: str = "label"
    """The class, by its name or by its number from 0, or the number of a regression. A row without a label (an empty
    one, or -1 where that is no label of the task) is left out of training and dev."""
    id: str | None = None
    """An identifier carried into the prediction files; none numbers the rows."""

    @model_validator(mode="after")
    def _each_column_has_one_role(self) -> Self:
        roles = {"sentence1": self.sentence1, "sentence2": self.sentence2, "label": self.label, "id": self.id}
        names = [name for name in roles.values() if name is not None]
        if twice := next((name for name in names if names.count(name) > 1), None):
            of = " and ".join(role for role, name in roles.items() if name == twice)
            raise ValueError(f"column '{twice}' is given for {of}; each needs a column of its own")
        return self


class DevSplit(Schema):
    """Dev rows cut from the training rows: the same ones in every trial, in proportion to the labels."""

    dev: float = Field(gt=0, lt=1)
    """Share of the training rows."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Draws them."""


def _as_separator(value: object) -> object:
    r"""Read `\t` as a tab, as plain YAML leaves it two characters; refuse what is no single character."""
    if isinstance(value, str):
        value = value.replace("\\t", "\t")
        if len(value) != 1 or value in '"\r\n':
            raise ValueError(r"must be one character, or \t for a tab (not a quote or a line break)")
    return value


Quoting = Literal["auto", "minimal", "none"]
"""How quotes in a text file are read; `TableSource.quoting` has the meanings."""


class TableSource(Schema):
    """Files of one row an example: .csv, .tsv or .parquet."""

    kind: Literal["table"] = "table"
    """May be left out."""
    train: str
    """The file of the training rows."""
    dev: str | None = None
    """The labeled rows that trials are scored on; none cuts them from `train` as `split` says."""
    split: DevSplit | None = None
    test: str | None = None
    """A file without labels, for predictions only."""
    columns: Columns
    separator: Annotated[str | None, BeforeValidator(_as_separator)] = None
    """Between fields, one character or `\\t` for a tab; none means a tab for .tsv and a comma for .csv."""
    quoting: Quoting = "auto"
    """Of text files. `minimal`: a field in double quotes may hold separators, line breaks and, doubled, quotes
    (RFC 4180). `none`: quotes are a part of the text, and each line is a row, as in GLUE's files. `auto`: as
    `minimal`, but a field that holds both a line break and a separator is refused: mostly a stray quote has swallowed
    the rows up to the next one."""
    escapechar: Literal["\\"] | None = None
    """What stands before a quote inside a quoted field, where that is not doubled."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.dev is None) == (self.split is None):
            raise ValueError("give either dev: FILE or split: {dev: 0.1}, which cuts the dev rows from the train file")
        if self.escapechar is not None and self.quoting == "none":
            raise ValueError("quoting none has no quoted fields, so escapechar has no use; leave one of them out")
        return self


class HubSource(Schema):
    """A Hugging Face data set by name (needs the `hub` extra)."""

    kind: Literal["hub"] = "hub"
    """May be left out."""
    dataset: str
    """Its name, as `nyu-mll/glue`, or a local folder that `datasets.load_dataset` takes."""
    subset: str | None = None
    """The configuration of the data set, as `stsb` of `nyu-mll/glue`."""
    train_split: str = "train"
    """Of the training rows."""
    dev_split: str | None = None
    """None takes `validation`, unless `split` cuts the dev rows from the training split."""
    split: DevSplit | None = None
    test_split: str | None = None
    """Without labels, for predictions only."""
    columns: Columns

    @model_validator(mode="after")
    def _dev_rows_come_from_one_place(self) -> Self:
        if self.dev_split is not None and self.split is not None:
            raise ValueError("give either dev_split or split: {dev: 0.1}, which cuts the dev rows from train_split")
        return self


def _kind_of_source(value: object) -> str | None:
    """Tell the kinds apart: `kind` where it is given, else by the key that only one of them has."""
    if isinstance(value, Mapping):
        return str(value.get("kind", "hub" if "dataset" in value else "table"))
    return getattr(value, "kind", None)


Source = Annotated[
    Annotated[TableSource, Tag("table")] | Annotated[HubSource, Tag("hub")],
    Discriminator(
        _kind_of_source,
        custom_error_type="kind_of_source",
        custom_error_message="must be a mapping with the files of a 'table' or the dataset of a 'hub'",
    ),
]
