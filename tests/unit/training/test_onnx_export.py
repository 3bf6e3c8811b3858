"""Exported files run under onnxruntime alone, by the code of their own card, and predict as the model does."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from saved import save_shifted_checkpoint

import mtbert_ray
from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import EncoderError, UserError
from mtbert_ray.training import onnx_export
from mtbert_ray.training.onnx_export import export_onnx

BY_TRACING = {"torch.jit.trace": onnx_export.EXPORTERS["torch.jit.trace"]}
"""The quicker exporter, for what does not depend on which one it is."""


def source(**columns):
    return {"train": "/data/train.csv", "dev": "/data/dev.csv", "columns": {"label": "label", **columns}}


TOPIC = {"name": "topic", "kind": "classification", "source": source(sentence1="text")}
TOPIC |= {"classes": ["so, so", "it's", 'a "b"\\'], "template": "/about: {sentence}"}
STARS = {"name": "stars", "kind": "regression", "label_range": [1, 5], "source": source(sentence1="text")}
DUP = {"name": "dup", "kind": "pair_classification", "num_classes": 2, "template": ["q: {sentence}", "{sentence} ?"]}
NEAR = {"name": "near", "kind": "pair_regression", "label_range": [0, 1]}
THREE = {"name": "three", "kind": "pair_classification", "num_classes": 3}
TASKS = [TOPIC, STARS, *({**task, "source": source(sentence1="a", sentence2="b")} for task in (DUP, NEAR, THREE))]


def checkpoint_of(folder: Path, **hyperparameters) -> Path:
    config = TrialConfig.model_validate(
        nest({"encoder": "tiny", "tasks": TASKS, "data.max_length": 48, **hyperparameters})
    )
    return save_shifted_checkpoint(folder, config, {"epoch": 1, "topic": 0.25, "dev_score": 0.5})


def run_file(out: Path, name: str, *texts: list[str], joint: bool) -> list[np.ndarray]:
    """Tokenize with the folder's own tokenizer, run its file, and return all outputs."""
    from transformers import AutoTokenizer

    tasks_file = json.loads((out / "tasks.json").read_text())
    about, tokenizer = tasks_file["tasks"][name], AutoTokenizer.from_pretrained(out)
    options = {
        "padding": True,
        "truncation": True,
        "max_length": tasks_file["max_length"],
        "return_token_type_ids": True,
    }
    texts = [
        [template.replace("{sentence}", text) for text in column]
        for template, column in zip(about["templates"], texts, strict=True)
    ]
    sequences = [texts] if joint or len(texts) == 1 else [[column] for column in texts]
    ends = [""] if len(sequences) == 1 else ["_1", "_2"]
    tokens = {
        key + end: value
        for end, columns in zip(ends, sequences, strict=True)
        for key, value in tokenizer(*columns, **options, return_tensors="np").items()
    }
    session = onnxruntime.InferenceSession(out / about["file"])
    return session.run(about["outputs"], {each: tokens[each] for each in about["inputs"]})


def assert_answers(out: Path, checkpoint: Path, *, joint: bool, tolerance: float = 1e-4) -> None:
    """Compare every file with the checkpoint's model on batches of other shapes than the export's."""
    model = mtbert_ray.load(checkpoint, device="cpu")
    for rows in (1, 3, 7):
        first = [f"so it was on day {n}, and {'on and ' * n * 3}on" for n in range(rows)]
        second = ["" if n == 1 else "nobody knows " * (n + 1) for n in reversed(range(rows))]
        for name, task in model.tasks.items():
            columns = (first, second) if task.kind.is_pair else (first,)
            expected = model.predict({name: list(zip(*columns, strict=True)) if task.kind.is_pair else first})[name]
            got = run_file(out, name, *columns, joint=joint)
            if task.kind.is_regression:
                np.testing.assert_allclose(got[0], expected["prediction"], atol=tolerance, rtol=tolerance)
                continue
            np.testing.assert_allclose(got[0], expected.filter(regex="^probability_"), atol=tolerance)
            likeliest = [(task.classes or range(99))[n] for n in got[0].argmax(axis=1)]
            assert likeliest == expected["prediction"].tolist()
            logits = torch.from_numpy(got[1])
            np.testing.assert_allclose(logits.softmax(dim=-1), got[0], atol=1e-6)


@pytest.mark.parametrize(("pair_encoding", "task"), [("joint", TASKS[0]), ("separate", TASKS[2])])
def test_by_the_exporter_of_today(pair_encoding, task, tmp_path, capfd, recwarn):
    checkpoint = checkpoint_of(tmp_path / "checkpoint", pair_encoding=pair_encoding, tasks=[task])
    out = export_onnx(checkpoint, tmp_path / "out")
    assert capfd.readouterr() == ("", "") and not recwarn.list, "nothing is printed on the way"
    assert_answers(out, checkpoint, joint=pair_encoding == "joint")


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_every_kind_of_task(pair_encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "EXPORTERS", BY_TRACING)
    checkpoint = checkpoint_of(tmp_path / "checkpoint", pair_encoding=pair_encoding)
    out = export_onnx(checkpoint, tmp_path / "out")
    assert_answers(out, checkpoint, joint=pair_encoding == "joint")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "out"}
    names = {path.name for path in out.glob("*.onnx*")}
    assert names == {"topic.onnx", "stars.onnx", "dup.onnx", "near.onnx", "three.onnx"}


@pytest.mark.parametrize("pooling", ["cls", "pooler"])
@pytest.mark.parametrize("adapter", [{"adapter.kind": "dora"}, {"adapter.kind": "vera"}, {"finetune": "heads_only"}])
def test_an_adapter_is_merged(adapter, pooling, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "EXPORTERS", BY_TRACING)
    checkpoint = checkpoint_of(tmp_path / "checkpoint", pooling=pooling, tasks=[TASKS[0]], **adapter)
    assert_answers(export_onnx(checkpoint, tmp_path / "out"), checkpoint, joint=True)


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_the_card_s_own_code_predicts(pair_encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "EXPORTERS", BY_TRACING)
    checkpoint = checkpoint_of(tmp_path / "checkpoint", pair_encoding=pair_encoding)
    out = export_onnx(checkpoint, tmp_path / "out")
    model = mtbert_ray.load(checkpoint, device="cpu")
    monkeypatch.chdir(out)
    card = (out / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(snippets) == 4, "one for each kind"
    rows = ["The ferry leaves at noon.", "At twelve the boat departs."]
    pairs = [("The ferry leaves at noon.", "At twelve the boat departs."), ("Yes.", "No, not today, I am afraid.")]
    first_of_kind = ("topic", "stars", "dup", "near")
    # By the card, the code for another task of the kind is the same but for the task's name.
    assert "with its name in place of `dup`, is right for `three`." in card and card.count("in place of") == 1
    runs = [*zip(first_of_kind, snippets, strict=True), ("three", snippets[2].replace('["dup"]', '["three"]'))]
    for name, code in runs:
        assert "mtbert_ray" not in code and "torch" not in code
        names = {}
        exec(code, names)
        expected = model.predict({name: pairs if model.tasks[name].kind.is_pair else rows})[name]
        if model.tasks[name].kind.is_regression:
            np.testing.assert_allclose(names["predictions"], expected["prediction"], atol=1e-4)
            continue
        assert names["predictions"] == [str(value) for value in expected["prediction"]]
        np.testing.assert_allclose(names["probabilities"], expected.filter(regex="^probability_"), atol=1e-4)
    assert '\n| topic | classification | so, so, it\'s, a "b"\\ | accuracy | "/about: {sentence}" |\n' in card
    assert '\n| dup | pair_classification | 0, 1 | accuracy | "q: {sentence}", "{sentence} ?" |\n' in card
    assert "\n| stars | regression | 1 to 5 | pearson |  |\n" in card
    assert "| topic | accuracy | 0.2500 |" in card
    for path in (out / "README.md", out / "config.yaml", out / "tasks.json"):
        assert str(tmp_path) not in path.read_text() and "/data/" not in path.read_text()
    assert "/about: {sentence}" in (out / "config.yaml").read_text(), "a template that looks like a path stays whole"


def test_what_differs_from_the_model_is_not_left_behind(tmp_path, monkeypatch):
    def wrong(graph, example, path):
        with torch.no_grad():
            graph._head.scorer.output.bias += 1e-3
        BY_TRACING["torch.jit.trace"](graph, example, path)
        with torch.no_grad():
            graph._head.scorer.output.bias -= 1e-3

    def of_one_length(graph, example, path):
        graph.axes = [{0: "batch"} for _ in graph.axes]
        BY_TRACING["torch.jit.trace"](graph, example, path)

    monkeypatch.setattr(onnx_export, "EXPORTERS", {"wrong": wrong, "of one length": of_one_length})
    checkpoint = checkpoint_of(tmp_path / "checkpoint", tasks=[STARS])
    with pytest.raises(EncoderError) as raised:
        export_onnx(checkpoint, tmp_path / "out")
    assert re.fullmatch(
        r"--onnx: encoder 'tiny' \(bert\) cannot be exported for task 'stars': wrong: prediction differs from the "
        r"model's by up to 0\.001, allowed is 0\.0001; of one length: .*invalid dimensions.*\. Nothing was written; "
        r"export without --onnx",
        str(raised.value),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_second_exporter_takes_what_the_first_cannot(tmp_path, monkeypatch):
    def fails(graph, example, path):
        path.write_text("half of it")
        raise RuntimeError("no such operator\nand a long trace")

    monkeypatch.setattr(onnx_export, "EXPORTERS", {"first": fails, **BY_TRACING})
    out = export_onnx(checkpoint_of(tmp_path / "checkpoint", tasks=[STARS]), tmp_path / "out")
    assert (out / "stars.onnx").stat().st_size > 10_000


def test_refusals(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; give a folder"):
        export_onnx(tmp_path / "checkpoint", tmp_path / "file")
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name.startswith("onnx") else name)
    expected = r"^--onnx: onnx, onnxscript, onnxruntime not installed; run: pip install 'mtbert-ray\[onnx\]'$"
    with pytest.raises(UserError, match=expected):
        export_onnx(tmp_path / "checkpoint", tmp_path / "out")
