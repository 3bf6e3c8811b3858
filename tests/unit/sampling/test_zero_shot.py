"""The NLI route against the formula: softmax over the topics of the logits for entailment."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForMaskedLM

from mtbert_ray.errors import EncoderError
from mtbert_ray.models.tiny import tiny_config, tiny_tokenizer
from mtbert_ray.sampling.classifiers import ZeroShotReader

CPU = torch.device("cpu")
TEXTS = ["which bus goes to the old harbour?", "how long is soup good?", "what does a parrot like to eat?", "", "go"]
TOPICS = ["Travel", "Cooking", "Pets & Animals"]


def by_formula(folder: str, text: str, hypothesis: str, entailment: int) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = torch.stack(
            [
                model(**tokenizer(text, hypothesis.replace("{}", topic), return_tensors="pt")).logits[0]
                for topic in TOPICS
            ]
        )
    return torch.softmax(logits[:, entailment].double(), dim=0).numpy()


@pytest.mark.parametrize("labels", [("contradiction", "neutral", "entailment"), ("ENTAILMENT", "not")])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_confidences_are_the_softmax_of_the_entailment_logits(make_config, make_nli, labels, batch_size):
    folder = make_nli(labels)
    hypothesis = "it is about {}."
    config = make_config(method="zero_shot", model=folder, hypothesis=hypothesis, batch_size=batch_size)
    got = ZeroShotReader(config, TEXTS, CPU).read(1, 5)
    entailment = [label.lower() for label in labels].index("entailment")
    expected = np.array([by_formula(folder, text, hypothesis, entailment) for text in TEXTS[1:]])
    np.testing.assert_allclose(got, expected, atol=2e-5)
    assert expected.max() - expected.min() > 0.05, "the topics differ, so the comparison can fail"


def test_a_text_is_cut_and_the_topic_is_not(make_config, make_nli):
    config = make_config(method="zero_shot", model=make_nli(), data={"max_length": 48})
    longer = "which bus goes to the harbour " * 20
    reader = ZeroShotReader(config, [longer, longer + "at night"], CPU)
    first, second = reader.read(0, 2)
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.ptp(first) > 1e-3, "the hypotheses still differ"


def test_the_fingerprint_follows_all_that_decides_the_confidences(make_config, make_nli):
    folder = make_nli()
    base = {"method": "zero_shot", "model": folder}
    ways = [
        base,
        {**base, "hypothesis": "about {}"},
        {**base, "model": make_nli(("a", "b", "entailment", "d"))},
        {**base, "topics": {"Travel": 0.5, "Cooking": 0.5}},
        {**base, "data": {"max_length": 32}},
    ]
    prints = [ZeroShotReader(make_config(**way), TEXTS, CPU).fingerprint for way in ways]
    assert len(set(prints)) == len(ways)
    other_shares = {"Travel": 0.2, "Cooking": 0.2, "Pets & Animals": {"share": 0.6, "description": "parrots"}}
    same = make_config(**base, topics=other_shares, rows=7, batch_size=3)
    assert ZeroShotReader(same, TEXTS, CPU).fingerprint == prints[0]


def error_of(config) -> str:
    with pytest.raises(EncoderError) as caught:
        ZeroShotReader(config, TEXTS, CPU)
    return str(caught.value)


def test_a_model_that_cannot_be_had_points_to_the_embeddings(make_config, tmp_path):
    for name in ("nobody/no-such-nli", str(tmp_path)):
        message = error_of(make_config(method="zero_shot", model=name))
        assert message.startswith(f"model '{name}' cannot be loaded as an NLI model: ")
        assert message.endswith("or classify without an NLI model: --set method=embeddings")


def test_a_classifier_of_something_else_is_refused(make_config, make_nli):
    message = error_of(make_config(method="zero_shot", model=make_nli(("negative", "positive"))))
    assert "(negative, positive)" in message and "'entailment'" in message
    assert "--set method=embeddings" in message


def test_a_model_whose_classifier_would_stay_random_is_refused(make_config, tmp_path):
    labels = {"id2label": {0: "entailment", 1: "other"}, "label2id": {"entailment": 0, "other": 1}}
    BertForMaskedLM(BertConfig.from_dict({**tiny_config().to_dict(), **labels})).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    message = error_of(make_config(method="zero_shot", model=str(tmp_path)))
    assert "hold no weights for" in message and "would stay random" in message
