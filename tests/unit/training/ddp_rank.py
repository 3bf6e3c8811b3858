"""One rank of a gloo run, started by test_loop.py: prints each epoch's losses and scores as JSON lines."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from mtbert_ray.config import TrialConfig
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process

config_file, rank, world_size, rendezvous, checkpoint = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size))
run = TrainingRun(
    TrialConfig.model_validate_json(Path(config_file).read_text()),
    process=Process(rank=int(rank), world_size=int(world_size)),
    checkpoint=Path(checkpoint),
)
for epoch in metered_epochs(run):
    print(json.dumps(epoch.metrics), flush=True)
# DDP's reducer holds the process group: it goes first, and nobody leaves while a peer still talks.
del run
dist.barrier()
dist.destroy_process_group()
