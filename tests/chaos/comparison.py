"""What the trials of a sweep came to, and in what two sweeps differ."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from mtbert_ray.journal import read_events
from mtbert_ray.scoring.dev_predictions import dev_predictions_file
from mtbert_ray.trial import Sweep, Trial


def outcome_of(trial: Trial, folder: Path) -> dict[str, Any]:
    """What a trial came to: all but what it took, the tensors of its checkpoint, and its dev predictions."""
    weights = load_file(folder / (trial.checkpoint or "") / "model.safetensors")
    costs = ("seconds", "peak_rss_gib", "others_cpus")
    predictions = dev_predictions_file(folder / "trials" / trial.trial_id)
    return {
        "hyperparameters": trial.hyperparameters,
        "status": trial.status,
        "epochs": [
            {name: value for name, value in epoch.items() if not name.endswith(costs)} for epoch in trial.epochs
        ],
        "weights": {name: tensor.numpy().tobytes() for name, tensor in sorted(weights.items())},
        "predictions": predictions.read_bytes(),
    }


def outcomes(sweep: Sweep, folder: Path) -> dict[str, Any]:
    """Trial -> what it came to."""
    return {trial.trial_id: outcome_of(trial, folder) for trial in sweep.trials}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What of each trial is not as it was undisturbed."""
    lines = [f"trials {sorted(found)}, not {sorted(expected)}"] if found.keys() != expected.keys() else []
    for trial_id in expected.keys() & found.keys():
        lines += [f"{trial_id}: {key}" for key, value in expected[trial_id].items() if found[trial_id][key] != value]
    return sorted(lines)


def restarts(folder: Path) -> tuple[int, int]:
    """How often a trial continued, and how often it lacked epochs that it had reported, and so trained them again."""
    done: dict[str, int] = {}
    continued = lacking = 0
    for event in read_events(folder)[0]:
        match event.event:
            case "epoch":
                done[event.trial_id] = int(event.metrics["epoch"])
            case "trial_resumed":
                continued += 1
                lacking += event.epoch < done.get(event.trial_id, 0)
    return continued, lacking
