"""Each exported folder is loaded with transformers and peft alone, by the snippet of its own model card."""

import json
import re
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from saved import save_checkpoint
from tiny_encoders import FAMILIES, tiny_model
from transformers import AutoModel

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import CheckpointError, UserError
from mtbert_ray.models.encoder import load_encoder, load_tokenizer
from mtbert_ray.models.pretrained import packaged_folder
from mtbert_ray.training import onnx_export
from mtbert_ray.training.checkpoint import initial_model, write_metrics
from mtbert_ray.training.export import export_checkpoint
from mtbert_ray.training.onnx_export import export_onnx

ADAPTERS = {
    "lora": {"adapter.kind": "lora"},
    "lora on every linear layer": {
        "adapter.kind": "lora",
        "adapter.target_modules": ["query", "key", "value", "dense"],
    },
    "loralib": {"adapter.kind": "lora", "adapter.library": "loralib", "adapter.rslora": False},
    "gaussian": {"adapter.kind": "lora", "adapter.initialization": "gaussian"},
    "dora": {"adapter.kind": "dora"},
    "vera": {"adapter.kind": "vera", "adapter.rank": 16, "seed": 3},
    "pissa": {"adapter.kind": "lora", "adapter.initialization": "pissa", "adapter.rank": 20},
    "olora": {"adapter.kind": "dora", "adapter.initialization": "olora"},
}
every_adapter = pytest.mark.parametrize("hyperparameters", ADAPTERS.values(), ids=ADAPTERS)


def config_of(**hyperparameters):
    return TrialConfig.model_validate(nest({"encoder": "tiny", **hyperparameters}))


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """An encoder that is not ours: a small BERT in a folder, with its pooling layer."""
    folder = tmp_path_factory.mktemp("base")
    load_encoder("tiny", pooling="pooler").model.save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)
    return str(folder)


def trained(folder, **hyperparameters):
    config = config_of(**hyperparameters)
    model = initial_model(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    save_checkpoint(folder, model, config, {"epoch": 1, "sst": 0.25, "sts": 0.75, "dev_score": 0.5})
    return model


def snippet_of(folder):
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    return code


def by_the_card(folder, monkeypatch, base=None):
    """Run the card's own code in place, with the base's path; return its sentences and embeddings."""
    monkeypatch.chdir(folder)
    code = snippet_of(folder)
    assert "mtbert_ray" not in code
    if base is not None:
        code, count = re.subn(r'^base = ".*$', f"base = {str(base)!r}", code, flags=re.MULTILINE)
        assert count == 1
    names = {}
    exec(code, names)
    return names["sentences"], names["embeddings"]


@torch.no_grad()
def embed(encoder, name, sentences):
    tokens = load_tokenizer(name)(sentences, padding=True, return_token_type_ids=True, return_tensors="pt")
    return encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])


def assert_same(model, folder, monkeypatch, base=None):
    sentences, embeddings = by_the_card(folder, monkeypatch, base)
    torch.testing.assert_close(embeddings, embed(model.encoder, "tiny", sentences), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
@pytest.mark.parametrize("finetune", ["full", "heads_only"])
def test_an_encoder(finetune, pooling, tmp_path, monkeypatch):
    model = trained(tmp_path / "checkpoint", pooling=pooling, finetune=finetune)
    out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
    assert_same(model, out, monkeypatch)
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.float32}
    # Our own `encoder: DIR` finds the pooling by itself.
    again = load_encoder(str(out))
    assert again.pooling == pooling
    assert torch.equal(embed(again, str(out), ["So it is."]), embed(model.encoder, "tiny", ["So it is."]))
    assert (out / "1_Pooling").exists() == (out / "modules.json").exists() == (pooling != "pooler")


@every_adapter
@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_an_adapter(hyperparameters, pooling, base, tmp_path, monkeypatch):
    model = trained(tmp_path / "checkpoint", encoder=base, pooling=pooling, **hyperparameters)
    out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
    assert_same(model, out, monkeypatch, base)
    assert not (out / "model.safetensors").exists()
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == Path(base).name
    assert f"`{Path(base).name}` is a local folder that is not a part of this one" in (out / "README.md").read_text()


@pytest.mark.parametrize("family", ["gte", "nomic_bert", "bert"])
def test_a_pooling_layer_that_transformers_builds_only_when_asked(family, tmp_path, monkeypatch):
    base = tmp_path / "base"
    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_model(family).config, **{"add_pooling_layer": True})
    model.save_pretrained(base)
    FAMILIES[family].tokenizer().save_pretrained(base)
    must_ask = family != "bert"
    for name, hyperparameters in {"plain": {}, **dict.fromkeys(("adapter", "merged"), ADAPTERS["lora"])}.items():
        checkpoint = tmp_path / f"checkpoint-{name}"
        trained_model = trained(checkpoint, encoder=str(base), pooling="pooler", **hyperparameters)
        out = export_checkpoint(checkpoint, tmp_path / name, merge=name == "merged")
        sentences, embeddings = by_the_card(out, monkeypatch, base if name == "adapter" else None)
        expected = embed(trained_model.encoder, str(base), sentences)
        torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=1e-4)
        assert ("add_pooling_layer=True" in snippet_of(out)) == must_ask
        if name != "adapter":
            again = load_encoder(str(out))
            assert again.pooling == "pooler"
            torch.testing.assert_close(embed(again, str(base), sentences), expected, atol=1e-6, rtol=1e-5)


@every_adapter
def test_an_adapter_merged(hyperparameters, tmp_path, monkeypatch):
    model = trained(tmp_path / "checkpoint", **hyperparameters)
    out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out", merge=True)
    assert_same(model, out, monkeypatch)
    assert not (out / "adapter_config.json").exists()


def test_the_packaged_encoder_goes_by_its_published_name(tmp_path, monkeypatch, recwarn):
    model = trained(tmp_path / "checkpoint", encoder="minilm", **ADAPTERS["lora on every linear layer"])
    out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
    card = (out / "README.md").read_text()
    assert "base_model: sentence-transformers/all-MiniLM-L6-v2\n" in card
    assert '\nbase = "sentence-transformers/all-MiniLM-L6-v2"\n' in card
    # Without the Hub, the same from its package.
    sentences, embeddings = by_the_card(out, monkeypatch, packaged_folder())
    torch.testing.assert_close(embeddings, embed(model.encoder, "minilm", sentences), atol=1e-5, rtol=1e-4)
    # The published encoder has a pooling layer, ours has none: an adapter on it would not have been trained.
    assert not [warning for warning in recwarn if "missing adapter keys" in str(warning.message)]


class TestAfterInitFrom:
    @pytest.fixture
    def checkpoint(self, base, tmp_path):
        trained(tmp_path / "old", encoder=base, **ADAPTERS["lora"])
        return tmp_path / "later"

    def test_an_encoder(self, checkpoint, base, tmp_path, monkeypatch):
        model = trained(checkpoint, encoder=base, init_from=str(tmp_path / "old"), finetune="heads_only")
        assert_same(model, export_checkpoint(checkpoint, tmp_path / "out"), monkeypatch)

    def test_an_adapter_only_merged(self, checkpoint, base, tmp_path, monkeypatch):
        model = trained(checkpoint, encoder=base, init_from=str(tmp_path / "old"), **ADAPTERS["dora"])
        with pytest.raises(UserError) as raised:
            export_checkpoint(checkpoint, tmp_path / "out")
        assert str(raised.value) == (
            f"{checkpoint}: its adapter was trained on the encoder of an earlier run ({tmp_path / 'old'}), which is "
            "published nowhere; give --merge to export that encoder with the adapter merged"
        )
        assert not (tmp_path / "out").exists()
        assert_same(model, export_checkpoint(checkpoint, tmp_path / "out", merge=True), monkeypatch)


class TestCard:
    def test_scores_costs_settings_and_the_command(self, tmp_path):
        checkpoint = tmp_path / "checkpoint"
        trained(checkpoint, learning_rate=3e-4, **{"smart.tasks": ["sst"]})
        complete = {"epoch": 1, "sst": 0.25, "dev_score": 0.5, "energy_kj": 12.346, "gpu_seconds": None}
        write_metrics(checkpoint, {**complete, "trainable_parameters": 1234567})
        out = export_checkpoint(checkpoint, tmp_path / "out")
        card = (out / "README.md").read_text()
        for line in (
            "# out",
            "| sst | accuracy | 0.2500 |",
            "| energy_kj | 12.35 kJ | integral of GPU power over all ranks while training |",
            "| trainable_parameters | 1,234,567 | parameters that the optimizer changes |",
            "| learning_rate | 0.0003 |",
            "| smart.tasks | ['sst'] |",
            "python -m mtbert_ray.train --config config.yaml",
        ):
            assert f"\n{line}\n" in card
        assert "gpu_seconds" not in card and "| quora | accuracy |" not in card
        assert "base_model" not in card  # a random encoder is on no hub
        assert load_config(out / "config.yaml") == config_of(learning_rate=3e-4, **{"smart.tasks": ["sst"]})

    @pytest.mark.parametrize("form", ["plain", "adapter", "merged", "onnx"])
    def test_no_file_says_where_files_lie_on_this_machine(self, form, base, tmp_path, monkeypatch):
        data = {"data.source": "course", "data.directory": str(tmp_path / "course")}
        data["data.train_files"] = {"sst": str(tmp_path / "mine.csv")}
        columns = {"sentence1": "text", "label": "label"}
        table = {"train": str(tmp_path / "train.csv"), "dev": str(tmp_path / "dev.csv"), "columns": columns}
        hub = {"dataset": str(tmp_path / "cards"), "columns": columns}
        tasks = ["sst"]
        for name, source in {"one": table, "two": hub}.items():
            tasks.append({"name": name, "kind": "classification", "classes": ["a", "b"], "source": source})
        adapter = {} if form == "plain" else ADAPTERS["lora"]
        trained(tmp_path / "checkpoint", encoder=base, tasks=tasks, **data, **adapter)
        if form == "onnx":
            tracing = {"torch.jit.trace": onnx_export.EXPORTERS["torch.jit.trace"]}
            monkeypatch.setattr(onnx_export, "EXPORTERS", tracing)
            out = export_onnx(tmp_path / "checkpoint", tmp_path / "out")
        else:
            out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out", merge=form == "merged")
        files = [path for path in out.rglob("*") if path.is_file()]
        assert {"README.md", "config.yaml", "tokenizer_config.json"} <= {path.name for path in files}
        assert ("adapter_config.json" in {path.name for path in files}) == (form == "adapter")
        # The roots too, in case that a path is written in another form.
        places = {str(place) for path in (tmp_path, Path(base), Path.home()) for place in (path, path.resolve())}
        for path in files:
            found = [place for place in places if place.encode() in path.read_bytes()]
            assert not found, f"{path.name} has {found}"
        assert "mine.csv" in (out / "config.yaml").read_text()
        if form != "onnx":
            assert "--config config.yaml --data DIR\n" in (out / "README.md").read_text()

    def test_a_task_of_ones_own_is_told_with_classes_and_metrics_and_stays_whole(self, tmp_path):
        source = {"train": str(tmp_path / "train.csv"), "dev": str(tmp_path / "dev.csv"), "separator": "/"}
        topic = {
            "name": "topic",
            "kind": "classification",
            "classes": ["/bills", "a|b\nc"],
            "template": "/t {sentence}",
        }
        topic |= {"metrics": ["f1_macro", "f1./bills"], "source": {**source, "columns": {"sentence1": "text"}}}
        trained(tmp_path / "checkpoint", tasks=[topic])
        out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
        card = (out / "README.md").read_text()
        assert '\n| topic | classification | /bills, a\\|b c | f1_macro, f1./bills | "/t {sentence}" |\n' in card
        assert str(tmp_path) not in card + (out / "config.yaml").read_text()
        again = load_config(out / "config.yaml").tasks[0]
        assert (again.classes, again.template, again.source.separator) == (("/bills", "a|b\nc"), "/t {sentence}", "/")
        assert "\n    train: train.csv\n" in (out / "config.yaml").read_text()

    @pytest.mark.parametrize(
        ("templates", "cells", "line"),
        [
            (["query: {sentence}"], ['"query: {sentence}"'], 'template = "query: {sentence}"'),
            (
                [None, 'say "|" {sentence}'],
                ["", '"say \\\\"\\|\\\\" {sentence}"'.replace("\\\\", "\\")],
                'template = "say \\"|\\" {sentence}"  # of task1; the table has the others',
            ),
        ],
    )
    def test_templates_are_in_the_table_and_in_the_code(self, templates, cells, line, tmp_path, monkeypatch):
        source = {"train": "train.csv", "dev": "dev.csv", "columns": {"sentence1": "text"}}
        tasks = [
            {"name": f"task{n}", "kind": "classification", "classes": ["a", "b"], "template": text, "source": source}
            for n, text in enumerate(templates)
        ]
        model = trained(tmp_path / "checkpoint", tasks=tasks)
        out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
        card = (out / "README.md").read_text()
        assert " scored by | what the encoder reads |\n|---|---|---|---|---|\n" in card
        for n, cell in enumerate(cells):
            assert f"\n| task{n} | classification | a, b | accuracy | {cell} |\n" in card
        assert f"\n{line}\n" in card
        assert "of a pair" not in card, "no task is a pair"
        sentences, embeddings = by_the_card(out, monkeypatch)
        read = [templates[-1].replace("{sentence}", sentence) for sentence in sentences]
        torch.testing.assert_close(embeddings, embed(model.encoder, "tiny", read), atol=1e-5, rtol=1e-4)

    def test_front_matter_is_yaml(self, tmp_path):
        trained(tmp_path / "checkpoint", pair_encoding="separate")
        out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")
        _, front, text = (out / "README.md").read_text().split("---\n", 2)
        assert YAML(typ="safe").load(front)["library_name"] == "transformers"
        assert "embedded one by one" in text and "None was measured" in text
        assert "what the encoder reads" not in text and "template" not in text


class TestRefusals:
    def test_a_used_folder(self, tmp_path):
        trained(tmp_path / "checkpoint")
        with pytest.raises(UserError, match="is not empty; give a folder of its own"):
            export_checkpoint(tmp_path / "checkpoint", tmp_path)
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="is a file; give a folder"):
            export_checkpoint(tmp_path / "checkpoint", tmp_path / "file")
        with pytest.raises(UserError, match="no folder can be made there"):
            export_checkpoint(tmp_path / "checkpoint", tmp_path / "file" / "out")

    def test_an_adapter_of_random_weights(self, tmp_path):
        trained(tmp_path / "checkpoint", **ADAPTERS["lora"])
        with pytest.raises(UserError, match=r"'tiny' is random and published nowhere.* give --merge"):
            export_checkpoint(tmp_path / "checkpoint", tmp_path / "out")

    def test_no_checkpoint(self, tmp_path):
        with pytest.raises(CheckpointError, match="no such folder"):
            export_checkpoint(tmp_path / "none", tmp_path / "out")
        assert not (tmp_path / "out").exists()
