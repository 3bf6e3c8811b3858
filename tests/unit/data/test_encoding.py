import numpy as np
import pytest

from mtbert_ray.data.batching import EncodedSplit, SpecialIds
from mtbert_ray.data.rows_read import RowsRead
from mtbert_ray.data.sources import Examples
from mtbert_ray.data.tokenise import tokenise
from mtbert_ray.errors import EncoderError

TEXT = (
    "river Film unbelievable antidisestablishmentarianism don't 3.14 naïve Zürich 電車 it's ... ?! [SEP] [MASK] "
    "x\u0301 state-of-the-art #hashtag @you 🙂 co-operate 1,000,000 e.g. µm"
)
WORDS = TEXT.split()


def random_sentences(count, rng) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=rng.integers(0, 24))) for _ in range(count)]


@pytest.fixture(scope="module")
def examples() -> Examples:
    rng = np.random.default_rng(7)
    return Examples(
        ids=[str(row) for row in range(400)],
        sentence1=random_sentences(400, rng),
        sentence2=random_sentences(400, rng),
        labels=rng.random(400),
        rows_read=RowsRead(num_rows=400),
        origin="random words",
    )


def expected(tokenizer, *texts, max_length) -> dict[str, np.ndarray]:
    """What the tokenizer itself makes of the same texts."""
    made = tokenizer(*texts, truncation="longest_first", max_length=max_length, padding="longest", return_tensors="np")
    return dict(made)


def encoded(examples, tokenizer, cache, **settings) -> EncodedSplit:
    return EncodedSplit(tokenise(examples, tokenizer, cache=cache), SpecialIds.of(tokenizer), **settings)


def assert_same(tokens, reference) -> None:
    assert set(tokens) == set(reference)
    for name, tensor in tokens.items():
        np.testing.assert_array_equal(tensor.numpy(), reference[name], err_msg=name)


@pytest.mark.parametrize("max_length", [8, 9, 17, 40, 512])
def test_joint_pairs_equal_the_tokenizers(examples, tokenizer, tmp_path, max_length):
    split = encoded(examples, tokenizer, tmp_path, pair_encoding="joint", max_length=max_length)
    for start in range(0, 400, 40):
        rows = np.arange(start, start + 40)
        texts = examples.sentence1[start : start + 40], examples.sentence2[start : start + 40]
        (tokens,) = split.sentences(rows)
        assert_same(tokens, expected(tokenizer, *texts, max_length=max_length))
        np.testing.assert_array_equal(split.lengths[rows], tokens["attention_mask"].sum(dim=1).numpy())


@pytest.mark.parametrize("max_length", [8, 33, 512])
def test_separate_pairs_equal_the_tokenizers_single_sentences(examples, tokenizer, tmp_path, max_length):
    split = encoded(examples, tokenizer, tmp_path, pair_encoding="separate", max_length=max_length)
    rows = np.random.default_rng(1).permutation(400)[:100]
    batches = split.sentences(rows)
    assert len(batches) == 2
    for tokens, texts in zip(batches, (examples.sentence1, examples.sentence2), strict=True):
        assert_same(tokens, expected(tokenizer, [texts[row] for row in rows], max_length=max_length))
    np.testing.assert_array_equal(
        split.lengths[rows], sum(tokens["attention_mask"].sum(dim=1) for tokens in batches).numpy()
    )


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
@pytest.mark.parametrize("max_length", [8, 64])
def test_single_sentences_equal_the_tokenizers_whatever_the_pair_encoding(
    examples, tokenizer, tmp_path, pair_encoding, max_length
):
    single = Examples(
        ids=examples.ids,
        sentence1=examples.sentence1,
        sentence2=None,
        labels=None,
        origin="",
        rows_read=RowsRead(num_rows=400),
    )
    split = encoded(single, tokenizer, tmp_path, pair_encoding=pair_encoding, max_length=max_length)
    (tokens,) = split.sentences(np.arange(400))
    assert_same(tokens, expected(tokenizer, examples.sentence1, max_length=max_length))
    assert split.labels is None


def test_a_tokenizer_without_the_framing_tokens_is_refused():
    class Unframed:
        name_or_path = "some/causal-model"
        cls_token_id, sep_token_id, pad_token_id = None, None, 0

    with pytest.raises(EncoderError, match=r"some/causal-model has no \[CLS\], \[SEP\]; a BERT-like encoder"):
        SpecialIds.of(Unframed())
