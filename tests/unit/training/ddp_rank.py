"""One rank of a gloo run, started by test_loop.py: prints each epoch's losses and scores as JSON lines."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from mtbert_ray.config import TrialConfig
from mtbert_ray.models.state import trainable_state
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process

config_file, rank, world_size, rendezvous, folder = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size))
run = TrainingRun(
    TrialConfig.model_validate_json(Path(config_file).read_text()),
    process=Process(rank=int(rank), world_size=int(world_size)),
    folder=Path(folder),
)
for epoch in metered_epochs(run):
    print(json.dumps(epoch.metrics), flush=True)
if run.process.is_main:
    # The weights of the last epoch: which one is best depends on rounding, as a tiny encoder's scores do.
    save_file(trainable_state(run.model), Path(folder) / "last.safetensors")
# DDP's reducer holds the process group: it goes first, and nobody leaves while a peer still talks.
del run
dist.barrier()
dist.destroy_process_group()
