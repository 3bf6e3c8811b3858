"""Names the commands: `python -m mtbert_ray`."""

import sys

COMMANDS = {
    "sweep": "run the trials of a search space, measure them, report the Pareto front",
    "train": "fine-tune one config without Ray",
    "predict": "predictions of a checkpoint",
    "export": "a checkpoint for transformers, peft or onnxruntime, a sweep for Optuna",
    "report": "write a sweep's report again, from its journal, or one of several sweeps",
    "replay": "stopping rules and searchers on recorded sweeps",
    "sample": "training rows balanced by topic",
}
"""Command -> what it does, in a line."""


def main() -> int:
    """Print the commands; return 0 if they were asked for, 2 if something else was."""
    wrong = [argument for argument in sys.argv[1:] if argument not in ("-h", "--help")]
    lines = [f"  python -m mtbert_ray.{name:<8} {meaning}" for name, meaning in COMMANDS.items()]
    text = "\n".join(["Commands, each with --help:", *lines])
    if not wrong:
        sys.stdout.write(f"{text}\n")
        return 0
    near = f"; it is python -m mtbert_ray.{wrong[0]}" if wrong[0] in COMMANDS else ""
    sys.stderr.write(f"python -m mtbert_ray takes no '{wrong[0]}'{near}\n{text}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
