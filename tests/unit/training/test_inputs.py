"""From rows to what an encoder reads: the templates of a task."""

import numpy as np
import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.sources import load_examples
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.tasks import QUORA, SST, TaskSpec
from mtbert_ray.training.inputs import load_inputs


def config_of(*tasks: TaskSpec, **dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoder": "tiny", "tasks": list(tasks), **dotted}))


def read_by_the_encoder(config, task, split, row) -> list[list[int]]:
    sequences = load_inputs(config, split)[task].sentences(np.array([row]))
    return [tokens["input_ids"][0].tolist() for tokens in sequences]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_sentence_stands_in_its_template(split):
    task = SST.model_copy(update={"template": "query: {sentence} ?"})
    config = config_of(task)
    text = load_examples(task, config.data, split, seed=0).sentence1[3]
    assert not text.startswith("query"), "the rows themselves stay as they are"
    assert read_by_the_encoder(config, "sst", split, 3) == [load_tokenizer("tiny")(f"query: {text} ?")["input_ids"]]


@pytest.mark.parametrize(
    ("template", "first", "second"),
    [("q: {sentence}", "q: {}", "q: {}"), (("query: {sentence}", "passage: {sentence}"), "query: {}", "passage: {}")],
)
def test_a_pair_has_one_template_for_both_or_two(template, first, second):
    task = QUORA.model_copy(update={"template": template})
    config = config_of(task, pair_encoding="separate")
    examples = load_examples(task, config.data, "dev", seed=0)
    texts = [first.format(examples.sentence1[0]), second.format(examples.sentence2[0])]
    assert read_by_the_encoder(config, "quora", "dev", 0) == [
        load_tokenizer("tiny")(text)["input_ids"] for text in texts
    ]


def test_braces_in_a_sentence_are_text_and_an_empty_one_leaves_the_template(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n{sentence} {0},1\n" + "fine,0\n" * 200 + ",1\n")
    source = {
        "train": str(tmp_path / "a.csv"),
        "dev": str(tmp_path / "a.csv"),
        "columns": {"sentence1": "text", "label": "label"},
    }
    task = TaskSpec.model_validate(
        {"name": "t", "kind": "classification", "num_classes": 2, "template": "q: {sentence}", "source": source}
    )
    tokenizer = load_tokenizer("tiny")
    for row, text in ((0, "q: {sentence} {0}"), (201, "q: ")):
        assert read_by_the_encoder(config_of(task), "t", "train", row) == [tokenizer(text)["input_ids"]]
