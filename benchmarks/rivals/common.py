"""What all trainers besides ours share: the loss of a batch, and the score."""

from torch import Tensor

from mtbert_ray.config import TrialConfig
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.process import Process, uses_bf16
from rivals.texts import Tokens


def mean_loss(model: MultitaskModel, task: str, sentences: list[Tokens], labels: Tensor) -> Tensor:
    """Return a batch's mean loss; the sentences of a separate pair take a forward each."""
    embeddings = [
        model.encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"]) for tokens in sentences
    ]
    return model.loss(task, model.heads[task](*embeddings), labels).mean()


def dev_score(model: MultitaskModel, config: TrialConfig, process: Process) -> float:
    """Return the mean of the tasks' dev scores."""
    dev, bf16 = load_inputs(config, "dev"), uses_bf16(config, process.device)
    value = evaluate(model, config.tasks, dev, process, bf16=bf16).scores.values["dev_score"]
    assert value is not None, "every task of a benchmark has a score"
    return value
