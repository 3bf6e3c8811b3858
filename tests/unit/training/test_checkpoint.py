import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved import save_checkpoint

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import CheckpointError, ConfigError
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.state import digest_of
from mtbert_ray.training.checkpoint import initial_model, load_checkpoint, read_metrics, write_metrics
from mtbert_ray.training.checkpoint_digest import read_metadata, sealed

TASKS = ("sst", "quora", "sts")
ADAPTERS = [
    {"adapter.kind": "lora"},
    {"adapter.kind": "lora", "adapter.library": "loralib"},
    {"adapter.kind": "lora", "adapter.initialization": "pissa"},
    {"adapter.kind": "dora", "adapter.initialization": "olora"},
    {"adapter.kind": "dora"},
    {"adapter.kind": "vera"},
]


def config_of(**hyperparameters):
    return TrialConfig.model_validate(nest({"encoder": "tiny", **hyperparameters}))


def train_at_random(model, seed=7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


@torch.no_grad()
def logits_of(model, tasks=TASKS):
    tokens = dict(load_tokenizer("tiny")(["One lamp.", "Two lamps, then."], padding=True, return_tensors="pt"))
    return torch.cat([model(task, (tokens,)).flatten() for task in tasks])


def trained(folder, model=None, metrics=None, **hyperparameters):
    """Save a checkpoint as training would leave it; return its model."""
    config = config_of(**hyperparameters)
    model = build_model(config) if model is None else model
    train_at_random(model)
    save_checkpoint(folder, model, config, metrics or {"epoch": 1, "dev_score": 0.5})
    return model


@pytest.mark.parametrize("hyperparameters", [{}, {"finetune": "heads_only"}, *ADAPTERS])
def test_what_is_saved_is_what_is_loaded(hyperparameters, tmp_path):
    model = trained(tmp_path, **hyperparameters)
    loaded, config = load_checkpoint(tmp_path)
    assert config == config_of(**hyperparameters)
    assert torch.equal(logits_of(loaded), logits_of(model))
    for name, parameter in model.named_parameters():
        assert loaded.get_parameter(name).requires_grad == parameter.requires_grad


@pytest.mark.parametrize("initialization", ["pissa", "olora"])
def test_a_decomposition_that_comes_out_otherwise_elsewhere(initialization, tmp_path, monkeypatch):
    hyperparameters = {
        "adapter.kind": "lora",
        "adapter.initialization": initialization,
        "adapter.target_modules": ["query"],
    }
    model = trained(tmp_path, **hyperparameters)
    saved = load_file(tmp_path / "model.safetensors")
    assert [name for name in saved if "base_layer" in name] == [
        f"encoder.model.encoder.layer.{layer}.attention.self.query.base_layer.weight" for layer in (0, 1)
    ]
    assert not any("key.weight" in name for name in saved)
    svd, qr = torch.linalg.svd, torch.linalg.qr
    noise = 1 + 1e-3

    def other_svd(*args, **kwargs):
        left, values, right = svd(*args, **kwargs)
        return left, values * noise, right

    monkeypatch.setattr(torch.linalg, "svd", other_svd)
    monkeypatch.setattr(torch.linalg, "qr", lambda *args: tuple(part * noise for part in qr(*args)))
    name = next(name for name in saved if "base_layer" in name)
    assert not torch.equal(build_model(config_of(**hyperparameters)).get_parameter(name), saved[name])
    assert torch.equal(logits_of(load_checkpoint(tmp_path)[0]), logits_of(model))


def test_another_version_of_the_encoder_is_refused(tmp_path):
    trained(tmp_path, **ADAPTERS[2])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"seed": 4}))  # tiny's weights follow the seed
    with pytest.raises(CheckpointError, match="belong to another version of the encoder 'tiny'"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_from_before_the_newer_keys(tmp_path):
    model = trained(tmp_path, **{"adapter.kind": "dora"})
    config = json.loads((tmp_path / "config.json").read_text())
    newer = ("experiment", "smart", "init_from", "accumulation_steps", "learning_rate_scaling", "base_batch_size")
    for key in (*newer, "profile"):
        del config[key]
    for key in ("library", "initialization", "learning_rate_ratio"):
        del config["adapter"][key]
    del config["data"]["train_files"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded, _ = load_checkpoint(tmp_path)
    assert torch.equal(logits_of(loaded), logits_of(model))


def rewrite(folder, *, metadata=None, reseal=False, **changed):
    """Write the weights of a checkpoint anew, with other tensors: as damage does, or with digests of their own."""
    path = folder / "model.safetensors"
    state = {**load_file(path), **changed}
    made = read_metadata(path) if metadata is None else metadata
    if reseal:
        del made["digest"]
        made = sealed({**made, "tensors_digest": digest_of(state)})
    save_file(state, path, metadata=made)


BIAS = "heads.sst.scorer.output.bias"


class TestDigests:
    @pytest.mark.parametrize("hyperparameters", [{}, {"finetune": "heads_only"}, {"adapter.kind": "vera"}])
    def test_another_value_is_refused(self, hyperparameters, tmp_path):
        trained(tmp_path, **hyperparameters)
        rewrite(tmp_path)
        load_checkpoint(tmp_path)  # The same tensors, written by somebody else, are the same.
        rewrite(tmp_path, **{BIAS: torch.full((5,), 0.25)})
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize("name", ["metrics", "base_fingerprint", "config_digest", "tensors_digest", "digest"])
    def test_other_metadata_is_refused(self, name, tmp_path):
        trained(tmp_path)
        metadata = read_metadata(tmp_path / "model.safetensors")
        for changed in ({**metadata, name: f"{metadata[name]} "}, {k: v for k, v in metadata.items() if k != name}):
            rewrite(tmp_path, metadata=changed)
            for read in (load_checkpoint, read_metrics):
                with pytest.raises(CheckpointError, match="damaged"):
                    read(tmp_path)

    def test_a_checkpoint_of_an_earlier_version_is_read_with_one_warning(self, tmp_path):
        model = trained(tmp_path)
        metadata = read_metadata(tmp_path / "model.safetensors")
        rewrite(tmp_path, metadata={name: metadata[name] for name in ("base_fingerprint", "metrics")})
        with pytest.warns(UserWarning, match="no digest") as caught:
            loaded, _ = load_checkpoint(tmp_path)
        assert len(caught) == 1 and torch.equal(logits_of(loaded), logits_of(model))
        assert read_metrics(tmp_path)["dev_score"] == 0.5

    def test_a_config_that_was_edited_since_is_told(self, tmp_path, recwarn):
        trained(tmp_path)
        load_checkpoint(tmp_path)
        assert not [warning for warning in recwarn if "changed" in str(warning.message)]
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"pair_encoding": "separate"}))
        with pytest.warns(UserWarning, match="changed after"), pytest.raises(CheckpointError):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize(
        ("tensor", "what"),
        [
            (torch.tensor([0.0, float("nan"), 0, 0, 0]), "not finite"),
            (torch.tensor([0.0, float("-inf"), 0, 0, 0]), "not finite"),
            (torch.zeros(5, dtype=torch.float64), "of another type"),
            (torch.zeros(5, dtype=torch.bfloat16), "of another type"),
            (torch.zeros(5, dtype=torch.int32), "of another type"),
            (torch.zeros(5, 1), "of another shape"),
        ],
    )
    def test_tensors_that_do_not_fit_are_refused_whatever_their_digest(self, tensor, what, tmp_path):
        trained(tmp_path)
        rewrite(tmp_path, reseal=True, **{BIAS: tensor})
        with pytest.raises(CheckpointError, match=f"1 {what}: {BIAS}"):
            load_checkpoint(tmp_path)

    def test_a_rank_that_no_memory_holds_is_refused_before_the_model_is_made(self, tmp_path):
        trained(tmp_path, **ADAPTERS[0])
        path = tmp_path / "config.json"
        config = json.loads(path.read_text())
        config["adapter"]["rank"] = 10**12
        path.write_text(json.dumps(config))
        with pytest.warns(UserWarning), pytest.raises(CheckpointError, match=r"adapter\.rank"):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[1]", '{"epoch": "a"}', '{"x": NaN}', "[" * 100_000, '{"epoch": 2}'])
    def test_metrics_that_are_none_do_not_count(self, text, tmp_path):
        trained(tmp_path, metrics={"epoch": 2, "dev_score": 0.5})
        (tmp_path / "metrics.json").write_text(text)
        assert read_metrics(tmp_path) == {"epoch": 2, "dev_score": 0.5}

    def test_other_scores_beside_the_weights_do_not_count(self, tmp_path):
        trained(tmp_path, metrics={"epoch": 2, "dev_score": 0.5, "train_seconds": 1.0})
        write_metrics(tmp_path, {"epoch": 2, "dev_score": 0.5, "train_seconds": 9.0, "eval_seconds": 1.0})
        assert read_metrics(tmp_path)["train_seconds"] == 9.0
        write_metrics(tmp_path, {"epoch": 2, "dev_score": 0.9, "train_seconds": 9.0})
        assert read_metrics(tmp_path) == {"epoch": 2, "dev_score": 0.5, "train_seconds": 1.0}


class TestMetrics:
    def test_complete_ones_take_the_place_of_the_scores(self, tmp_path):
        trained(tmp_path, metrics={"epoch": 2, "dev_score": 0.5})
        assert read_metrics(tmp_path) == {"epoch": 2, "dev_score": 0.5}
        complete = {"epoch": 2, "dev_score": 0.5, "energy_kj": None, "train_seconds": 3.25}
        write_metrics(tmp_path, complete)
        assert json.loads((tmp_path / "metrics.json").read_text()) == complete == read_metrics(tmp_path)

    def test_of_an_earlier_epoch_do_not_count(self, tmp_path):
        trained(tmp_path, metrics={"epoch": 2, "dev_score": 0.5})
        (tmp_path / "metrics.json").write_text('{"epoch": 1, "dev_score": 0.25, "train_seconds": 2}')
        assert read_metrics(tmp_path) == {"epoch": 2, "dev_score": 0.5}

    def test_of_no_checkpoint(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"holds no checkpoint .* \(no model.safetensors\)"):
            write_metrics(tmp_path, {"epoch": 1})
        assert not list(tmp_path.iterdir())


class TestInitFrom:
    def test_without_it_a_model_is_fresh(self):
        assert torch.equal(logits_of(initial_model(config_of())), logits_of(build_model(config_of())))

    @pytest.mark.parametrize("new", [{}, {"finetune": "heads_only"}, {"adapter.kind": "lora", "seed": 5}])
    @pytest.mark.parametrize("old", [{}, {"finetune": "heads_only"}, *ADAPTERS])
    def test_predicts_what_the_earlier_run_did(self, old, new, tmp_path):
        source = trained(tmp_path, **old)
        model = initial_model(config_of(init_from=str(tmp_path), **new))
        torch.testing.assert_close(logits_of(model), logits_of(source), atol=1e-5, rtol=1e-4)
        assert not any("lora_" in name and "adapter.kind" not in new for name, _ in model.named_parameters())

    @pytest.mark.parametrize("new", [{"finetune": "heads_only"}, {"adapter.kind": "vera"}, ADAPTERS[2]])
    def test_its_checkpoint_needs_no_earlier_folder(self, new, tmp_path):
        old, later = tmp_path / "old", tmp_path / "later"
        trained(old, **ADAPTERS[0])
        hyperparameters = {"init_from": str(old), **new}
        model = trained(later, initial_model(config_of(**hyperparameters)), **hyperparameters)
        shutil.rmtree(old)
        assert torch.equal(logits_of(load_checkpoint(later)[0]), logits_of(model))
        # And a third run may go on from there.
        third = initial_model(config_of(init_from=str(later)))
        torch.testing.assert_close(logits_of(third), logits_of(model), atol=1e-5, rtol=1e-4)

    def test_a_task_that_is_new_gets_a_fresh_head(self, tmp_path):
        source = trained(tmp_path, tasks=["sst"])
        model = initial_model(config_of(init_from=str(tmp_path), tasks=["sst", "sts"]))
        assert torch.equal(logits_of(model, ["sst"]), logits_of(source, ["sst"]))
        fresh = build_model(config_of(tasks=["sts"])).heads["sts"].state_dict()
        assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.heads["sts"].state_dict().items())

    def test_folder_missing(self, tmp_path):
        with pytest.raises(CheckpointError) as raised:
            initial_model(config_of(init_from=str(tmp_path / "gone")))
        assert str(raised.value) == (
            f"init_from: {tmp_path / 'gone'}: no such folder; give a folder like reports/NAME/trials/ID/checkpoint"
        )

    def test_the_run_s_folder_in_place_of_its_checkpoint(self, tmp_path):
        save_checkpoint(tmp_path / "checkpoint", build_model(config_of()), config_of(), {})
        with pytest.raises(CheckpointError, match=f"not a checkpoint itself; give {tmp_path / 'checkpoint'}"):
            initial_model(config_of(init_from=str(tmp_path)))

    def test_other_heads(self, tmp_path):
        trained(tmp_path, pair_encoding="separate")
        with pytest.raises(ConfigError) as raised:
            initial_model(config_of(init_from=str(tmp_path)))
        assert [problem.split(";")[0] for problem in raised.value.problems] == [
            f"init_from {tmp_path}: its head for task '{task}' does not fit" for task in ("quora", "sts")
        ]
