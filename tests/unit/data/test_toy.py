import numpy as np
import pytest

from mtbert_ray.data.toy import NUM_ROWS, toy_examples
from mtbert_ray.tasks import KNOWN_TASK_NAMES


def sentences_of(task_name, split) -> set[str]:
    examples = toy_examples(task_name, split)
    return set(examples.sentence1) | set(examples.sentence2 or ())


@pytest.mark.parametrize("task_name", KNOWN_TASK_NAMES)
def test_no_sentence_is_in_two_splits(task_name):
    train, dev, test = (sentences_of(task_name, split) for split in ("train", "dev", "test"))
    assert not (train & dev or train & test or dev & test)


@pytest.mark.parametrize("task_name", KNOWN_TASK_NAMES)
@pytest.mark.parametrize("split", NUM_ROWS)
def test_rows_are_always_the_same_and_all_different(task_name, split):
    examples, again = toy_examples(task_name, split), toy_examples.__wrapped__(task_name, split)
    assert (examples.sentence1, examples.sentence2, examples.ids) == (again.sentence1, again.sentence2, again.ids)
    rows = list(zip(examples.sentence1, examples.sentence2 or examples.sentence1, strict=True))
    assert len(set(rows)) == len(set(examples.ids)) == len(examples) == NUM_ROWS[split]
    assert (examples.labels is None) == (split == "test")
    assert all(first[0].isupper() and "  " not in first for first, _ in rows)


def test_labels_span_their_range_without_one_that_prevails():
    grades = np.bincount(toy_examples("sst", "train").labels.astype(int), minlength=5) / NUM_ROWS["train"]
    assert len(grades) == 5 and grades.min() > 0.12 and grades.max() < 0.3
    assert 0.4 < toy_examples("quora", "train").labels.mean() < 0.5
    similarities = toy_examples("sts", "train").labels
    assert (similarities.min(), similarities.max()) == (0, 5) and 1.5 < similarities.std() < 2.0


def test_agreeing_words_follow_the_similarity_but_do_not_settle_it():
    """Shared words alone explain part of the grade, so the task can be learned and is not trivial."""
    examples = toy_examples("sts", "train")
    shared = []
    for first, second in zip(examples.sentence1, examples.sentence2, strict=True):
        one, two = set(first.lower().split()), set(second.lower().split())
        shared.append(len(one & two) / len(one | two))
    assert 0.4 < np.corrcoef(shared, examples.labels)[0, 1] < 0.95
