"""What the tests of the sampling floor share."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.models.tiny import tiny_config, tiny_tokenizer

TOPICS = {"Travel": 0.5, "Cooking": 0.3, "Pets & Animals": 0.2}


@pytest.fixture
def make_config():
    def make(**changes) -> SampleConfig:
        base = {"topics": TOPICS, "method": "embeddings", "encoder": "tiny", "rows": 40, "data": {"max_train_rows": 60}}
        return SampleConfig.model_validate({**base, **changes})

    return make


@pytest.fixture(scope="session")
def make_nli(tmp_path_factory):
    """Save a small random classifier with the labels of an NLI model, or with others."""

    def make(labels=("contradiction", "neutral", "entailment")) -> str:
        folder = tmp_path_factory.mktemp("nli")
        ids = dict(enumerate(labels))
        shape = {**tiny_config().to_dict(), "id2label": ids, "label2id": {label: id_ for id_, label in ids.items()}}
        torch.manual_seed(7)
        # Weights of the usual size answer nearly alike: larger ones tell texts and topics apart.
        model = BertForSequenceClassification(BertConfig.from_dict({**shape, "initializer_range": 0.4}))
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return str(folder)

    return make
