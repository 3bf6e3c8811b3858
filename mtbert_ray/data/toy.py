"""The toy corpus: three generated tasks in plain English, so that everything runs without any download.

Reviews with five grades, pairs of questions that ask the same or not, and pairs of scenes graded by how many of their
slots agree. Some labels are noisy on purpose, so that scores stay below 1 and settings can differ. Every sentence
belongs to one split by a hash of its text, so no sentence of a training split is met again in dev or test.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from mtbert_ray.data.examples import Examples, RowsRead, Split
from mtbert_ray.data.toy_phrases import (
    OPENERS,
    QUESTION_OPENERS,
    SCENE_SLOTS,
    SETTINGS,
    SUBJECTS,
    TOPICS,
    VERDICTS,
)

NUM_ROWS: dict[Split, int] = {"train": 640, "dev": 160, "test": 80}
_SPLIT_OF_BUCKET: tuple[Split, ...] = ("train", "train", "train", "train", "train", "dev", "dev", "test")

REGRADED_SHARE = 0.08
"""Share of reviews whose grade is off by one."""
FLIPPED_SHARE = 0.04
"""Share of question pairs with the wrong class."""
SIMILARITY_NOISE = 0.35
"""Standard deviation of what is added to a similarity, on its scale of 0 to 5."""

T = TypeVar("T")

Row = tuple[tuple[str, ...], float]
"""The sentence or sentences, and the label."""


@cache
def toy_examples(task_name: str, split: Split) -> Examples:
    """Return the toy rows of sst, quora or sts: always the same ones; 640, 160 and 80 rows, test without labels.

    They are made once a process. Nobody may change them.
    """
    draw = _DRAW[task_name]
    rng = np.random.default_rng(zlib.crc32(f"{task_name} {split}".encode()))
    rows: dict[tuple[str, ...], float] = {}
    while len(rows) < NUM_ROWS[split]:
        sentences, label = draw(rng)
        if sentences not in rows and all(_split_of(sentence) == split for sentence in sentences):
            rows[sentences] = label
    columns = list(zip(*rows, strict=True))
    return Examples(
        ids=[f"{task_name}-{split}-{number:03d}" for number in range(len(rows))],
        sentence1=list(columns[0]),
        sentence2=list(columns[1]) if len(columns) > 1 else None,
        labels=None if split == "test" else np.array(list(rows.values()), dtype=np.float64),
        rows_read=RowsRead(num_rows=len(rows)),
        origin=f"toy corpus, {task_name} {split}",
    )


def _split_of(sentence: str) -> Split:
    return _SPLIT_OF_BUCKET[zlib.crc32(sentence.encode()) % len(_SPLIT_OF_BUCKET)]


def _pick(rng: np.random.Generator, values: Sequence[T]) -> T:
    return values[int(rng.integers(len(values)))]


def _pick_other(rng: np.random.Generator, count: int, index: int) -> int:
    """Draw one of `count` indices that is not `index`."""
    return int((index + rng.integers(1, count)) % count)


def _joined(opener: str, rest: str) -> str:
    sentence = opener + rest
    return sentence[0].upper() + sentence[1:]


def _draw_review(rng: np.random.Generator) -> Row:
    grade = int(rng.integers(len(VERDICTS)))
    said = f"{_pick(rng, SUBJECTS)} {_pick(rng, VERDICTS[grade])}{_pick(rng, SETTINGS)}."
    if rng.random() < REGRADED_SHARE:
        grade = min(max(grade + _pick(rng, (-1, 1)), 0), len(VERDICTS) - 1)
    return (_joined(_pick(rng, OPENERS), said),), float(grade)


def _draw_question_pair(rng: np.random.Generator) -> Row:
    """Draw two questions: the same one in other words, or one that differs in its object, its intent or both."""
    topic = int(rng.integers(len(TOPICS)))
    things, intents = TOPICS[topic]
    thing, intent = int(rng.integers(len(things))), int(rng.integers(len(intents)))
    first = _question(rng, topic, thing, intent)
    relation = _pick(rng, ("same",) * 9 + ("other thing",) * 5 + ("other intent",) * 4 + ("other topic",) * 2)
    match relation:
        case "other thing":
            thing = _pick_other(rng, len(things), thing)
        case "other intent":
            intent = _pick_other(rng, len(intents), intent)
        case "other topic":
            topic = _pick_other(rng, len(TOPICS), topic)
    second = _question(rng, topic, thing, intent)
    while second == first:
        second = _question(rng, topic, thing, intent)
    flipped = rng.random() < FLIPPED_SHARE
    return (first, second), float((relation == "same") != flipped)


def _question(rng: np.random.Generator, topic: int, thing: int, intent: int) -> str:
    things, intents = TOPICS[topic]
    return _joined(_pick(rng, QUESTION_OPENERS), _pick(rng, intents[intent]).format(things[thing]))


def _draw_scene_pair(rng: np.random.Generator) -> Row:
    """Draw two scenes that agree in 0 to 5 of their five slots, and their similarity: that number, with noise."""
    agreeing = rng.permutation(len(SCENE_SLOTS)) < rng.integers(len(SCENE_SLOTS) + 1)
    first = [int(rng.integers(len(slot))) for slot in SCENE_SLOTS]
    second = [
        index if agrees else _pick_other(rng, len(slot), index)
        for index, agrees, slot in zip(first, agreeing, SCENE_SLOTS, strict=True)
    ]
    similarity = float(np.clip(agreeing.sum() + rng.normal(0.0, SIMILARITY_NOISE), 0.0, 5.0))
    return (_scene(rng, first), _scene(rng, second)), round(similarity, 1)


def _scene(rng: np.random.Generator, values: Sequence[int]) -> str:
    worded = [_pick(rng, slot[value]) for slot, value in zip(SCENE_SLOTS, values, strict=True)]
    return _joined("", " ".join(worded) + ".")


_DRAW: dict[str, Callable[[np.random.Generator], Row]] = {
    "sst": _draw_review,
    "quora": _draw_question_pair,
    "sts": _draw_scene_pair,
}
