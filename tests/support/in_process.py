"""Runs a small sweep in this process, without Ray: the same study, training, files and report, trial after trial."""

from mtbert_ray.config import TrialConfig
from mtbert_ray.events import EpochFinished, SweepFinished, TrialFinished
from mtbert_ray.ray_backend.inventory import local_capacity
from mtbert_ray.ray_backend.plan import make_plan
from mtbert_ray.ray_backend.trial_files import TrialFiles, trial_folder
from mtbert_ray.ray_backend.worker import reported_epochs, start_run
from mtbert_ray.reporting.document import write_report
from mtbert_ray.study.request import SweepRequest
from mtbert_ray.study.session import new_session
from mtbert_ray.training.inputs import RememberedInputs
from mtbert_ray.training.process import Process


def run_in_process(request: SweepRequest) -> None:
    """Run every trial to its end; no rule stops one, and an error ends all."""
    plan, load, folder = (
        make_plan(request.space, local_capacity(), own_cluster=True),
        RememberedInputs(),
        request.folder,
    )
    assert request.space_text is not None
    assert plan.space.scheduler == "fifo"
    with new_session(
        folder,
        plan.space,
        plan.objectives,
        notes=plan.notes,
        cluster=plan.capacity.description,
        space_text=request.space_text,
    ) as study:
        study.observers.append(TrialFiles(folder))
        while (started := study.ask()) is not None:
            trial_id = started.trial_id
            run = start_run(
                TrialConfig.model_validate(started.config), Process(), trial_folder(folder, trial_id), load=load
            )
            for result in reported_epochs(run):
                study.add(EpochFinished(trial_id=trial_id, metrics=result.metrics, undefined=result.undefined))
            study.add(TrialFinished(trial_id=trial_id, checkpoint=f"trials/{trial_id}/checkpoint"))
        study.add(SweepFinished(reason="completed"))
    write_report(folder)
