"""One rank of a probed gloo run, started by test_probe.py: prints the probe and each epoch as JSON lines."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process

config_file, rank, world_size, rendezvous = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size))
at = 0.0


def on_step(step: int, total: int) -> None:
    global at
    at += 1.0 if rank == "0" else 3.0


run = TrainingRun(
    TrialConfig.model_validate_json(Path(config_file).read_text()),
    process=Process(rank=int(rank), world_size=int(world_size)),
    on_step=on_step,
    clock=lambda: at,
)
for result in metered_epochs(run, probe=ProbeConfig(steps=5, warmup_steps=2)):
    print(json.dumps(asdict(result)), flush=True)
# DDP's reducer holds the process group: it goes first, and nobody leaves while a peer still talks.
del run
dist.barrier()
dist.destroy_process_group()
