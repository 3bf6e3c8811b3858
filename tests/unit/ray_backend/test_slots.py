"""Which of the trials that wait gets an actor that is free. Tune's own part is left out."""

from dataclasses import dataclass, field

from ray.tune.experiment import Trial

from mtbert_ray.ray_backend.slots import PATIENCE_SECONDS, NewestFirst


@dataclass
class Waiting:
    trial_id: str
    status: str = Trial.PENDING


@dataclass
class Controller:
    trials: list[Waiting] = field(default_factory=list)

    def get_trials(self) -> list[Waiting]:
        return self.trials


def test_a_trial_whose_own_actor_starts_leaves_a_free_one_to_the_next_trial():
    now = 0.0
    scheduler, tune = NewestFirst(lambda: now), Controller()
    first, second = Waiting("a"), Waiting("b")
    tune.trials = [first, second]
    assert scheduler.choose_trial_to_run(tune) is second
    # The first actor is up; its trial runs, ends and is followed by another before the second actor is up.
    first.status = Trial.TERMINATED
    tune.trials.append(third := Waiting("c"))
    assert scheduler.choose_trial_to_run(tune) is third
    third.status = Trial.RUNNING
    # None is left to ask for: the free actor is for the trial whose own is still starting.
    assert scheduler.choose_trial_to_run(tune) is second
    second.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(tune) is None


def test_a_trial_whose_actor_cannot_start_waits_no_longer_than_its_patience():
    now = 0.0
    scheduler, tune = NewestFirst(lambda: now), Controller([Waiting("a")])
    assert scheduler.choose_trial_to_run(tune) is tune.trials[0]
    tune.trials.append(Waiting("b"))
    now = PATIENCE_SECONDS
    assert scheduler.choose_trial_to_run(tune) is tune.trials[1]
    now += 1
    assert scheduler.choose_trial_to_run(tune) is tune.trials[0]
    # It got one; the next in line has not waited as long.
    tune.trials[0].status = Trial.RUNNING
    tune.trials.append(Waiting("c"))
    assert scheduler.choose_trial_to_run(tune) is tune.trials[2]


def test_the_patience_counts_from_when_a_trial_waits_again():
    now = 0.0
    scheduler, tune = NewestFirst(lambda: now), Controller([Waiting("a"), Waiting("b")])
    scheduler.choose_trial_to_run(tune)
    tune.trials[0].status = Trial.RUNNING
    now = PATIENCE_SECONDS + 1
    scheduler.choose_trial_to_run(tune)
    tune.trials[0].status = Trial.PENDING  # It is started again, as after the death of its actor.
    tune.trials[1].status = Trial.TERMINATED
    tune.trials.append(Waiting("c"))
    assert scheduler.choose_trial_to_run(tune) is tune.trials[2]
