import numpy as np
import pytest
from tiny_encoders import FAMILIES
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from mtbert_ray.data.encoding import EncodedSplit, SpecialIds
from mtbert_ray.data.examples import RowsRead
from mtbert_ray.data.sources import Examples
from mtbert_ray.data.tokenize import tokenize
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
    made = tokenizer(
        *texts,
        truncation="longest_first",
        max_length=max_length,
        padding="longest",
        return_tensors="np",
        return_token_type_ids=True,
    )
    return dict(made)


def encoded(examples, tokenizer, cache, **options) -> EncodedSplit:
    return EncodedSplit(tokenize(examples, tokenizer, cache=cache), SpecialIds.of(tokenizer), **options)


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


class TestOtherFamilies:
    """Each tokenizer has its own frame; token types too, which only some tokenizers give unasked."""

    @pytest.mark.parametrize("family", FAMILIES)
    def test_all_encodings_equal_the_tokenizers(self, examples, tmp_path, family):
        tokenizer = FAMILIES[family].tokenizer()
        rows = np.arange(0, 400, 13)
        first, second = ([column[row] for row in rows] for column in (examples.sentence1, examples.sentence2))
        for pair_encoding, texts in (("joint", [(first, second)]), ("separate", [(first,), (second,)])):
            for max_length in (9, 10, 33, 512):
                split = encoded(examples, tokenizer, tmp_path, pair_encoding=pair_encoding, max_length=max_length)
                for tokens, given in zip(split.sentences(rows), texts, strict=True):
                    assert_same(tokens, expected(tokenizer, *given, max_length=max_length))

    def test_a_tokenizer_that_marks_the_start_alone(self, examples, tmp_path):
        tokenizer = framed_by(single="<s> $A", pair="<s> $A <s>:1 $B:1")
        for pair_encoding, texts in (
            ("joint", [(examples.sentence1, examples.sentence2)]),
            ("separate", [(examples.sentence1,), (examples.sentence2,)]),
        ):
            split = encoded(examples, tokenizer, tmp_path, pair_encoding=pair_encoding, max_length=12)
            for tokens, given in zip(split.sentences(np.arange(400)), texts, strict=True):
                assert_same(tokens, expected(tokenizer, *given, max_length=12))

    def test_a_truncation_that_the_tokenizer_was_left_with_does_not_matter(self):
        tokenizer = FAMILIES["roberta"].tokenizer()
        plain = SpecialIds.of(tokenizer)
        tokenizer(["a"], truncation=True, max_length=4, padding="max_length")
        assert SpecialIds.of(tokenizer) == plain


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"single": "$A", "pair": "$A $B"}, r"puts no special token as \[CLS\] or <s> in front of a sentence"),
        ({"single": "$A </s>", "pair": "$A </s> $B </s>"}, "in front of a sentence"),
        ({"single": "<s> $A", "pair": "<s> $B </s> $A"}, "the order of the sentences"),
        ({"single": "<s> $A", "pair": "<s> $A $B", "pad_token": None}, "has no padding token"),
    ],
)
def test_a_tokenizer_without_framing_tokens_is_refused(templates, message):
    with pytest.raises(EncoderError, match=rf"the tokenizer of some/model .*{message}.*choose another encoder"):
        SpecialIds.of(framed_by(**templates))


def framed_by(*, single, pair, pad_token="<pad>"):
    """A tokenizer of RoBERTa's tokens with other frames."""
    tokenizer = FAMILIES["roberta"].tokenizer()
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=pad_token, name_or_path="some/model")
