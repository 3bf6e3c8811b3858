"""Kills the processes of a sweep at random, resumes it, and compares all that it ends with to an undisturbed run.

Run: PYTHONPATH=tests/support python tests/chaos/chaos.py --kills 40 --algorithm random --seed 0

Victims are the supervisor, the sweep's own process, the process of a trial, a worker of Ray Train where trials have
several, and Ray's raylet and GCS; with `--cluster`, which starts a Ray of two nodes for the sweep to join, the second
node in place of the last two. A session that was cut off is resumed by the supervisor or, where that does not, by this
script, as a user would.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from comparison import differences, outcome_of, outcomes, restarts
from in_process import run_in_process
from two_nodes import TITLES, TwoNodes, has_title, two_nodes

from mtbert_ray.journal import read_journal
from mtbert_ray.study.request import new_request

ROOT = Path(__file__).parents[2]
VICTIMS = ("trial", "sweep", "supervisor", "raylet", "gcs_server")
KILLS_A_SWEEP = 20
SPACE = """\
name: chaos
objectives:
  dev_score: {{direction: maximize, reference: -1}}
  trainable_parameters: {{direction: minimize, reference: 1000000}}
fixed:
  encoder: tiny
  epochs: {epochs}
  data.max_train_rows: 60
  data.max_dev_rows: 30
search:
  learning_rate: {learning_rate}
  adapter.kind: {{{choice}: [none, lora]}}
algorithm: {algorithm}
scheduler: fifo
{trials}retries: 100
resources: {{concurrent_trials: {concurrent_trials}, num_workers: {num_workers}}}
"""


def space_text(algorithm: str, *, trials: int, epochs: int, num_workers: int, concurrent_trials: int) -> str:
    """The search space.

    `front` learns from what has ended, so only one trial at a time is the same each time.
    """
    is_grid = algorithm == "grid"
    rates = ", ".join(str(1e-3 * (number + 1)) for number in range(-(-trials // 2)))
    return SPACE.format(
        algorithm=algorithm,
        epochs=epochs,
        learning_rate=f"{{grid: [{rates}]}}" if is_grid else "{loguniform: [1e-4, 1e-2]}",
        choice="grid" if is_grid else "choice",
        trials="" if is_grid else f"trials: {trials}\n",
        concurrent_trials=1 if algorithm == "front" else concurrent_trials,
        num_workers=num_workers,
    )


@dataclass
class Chaos:
    """One sweep under attack."""

    space: Path
    out: Path
    rng: random.Random
    nodes: TwoNodes | None = None
    """None where the sweep starts its Ray."""
    look: Callable[[psutil.Process], None] = lambda supervisor: None
    """Called before each kill."""
    kills: Counter[str] = field(default_factory=Counter)
    finished: dict[str, Any] = field(default_factory=dict)
    """Trial -> what it was when it was first seen to have finished."""
    expected: dict[str, Any] = field(default_factory=dict)
    """Trial -> what it came to undisturbed."""
    resumed_by_hand: int = 0

    def run(self, victims: list[str], *, timeout_seconds: float = 3600) -> None:
        """Run the sweep to its end, and kill a process of each of these kinds on the way, if there is time."""
        deadline = time.monotonic() + timeout_seconds
        new = ("--out", str(self.out), str(self.space))
        process = self._start(*new)
        try:
            while True:
                assert time.monotonic() < deadline, "the sweep does not come to its end"
                if process.poll() is not None:
                    if process.returncode == 0:
                        return
                    self.resumed_by_hand += 1
                    process = self._start(*(("--resume", str(self.out)) if self._events() else new))
                if victims and self._made_progress(process):
                    self.look(psutil.Process(process.pid))
                    time.sleep(self.rng.uniform(0, 1.5))
                    if self._kill(process, victims[0]):
                        self.kills[victims.pop(0)] += 1
                time.sleep(0.1)
        finally:
            _end(process)

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        self._seen = self._events()
        where = ("--address", self.nodes.cluster.address) if self.nodes else ()
        return subprocess.Popen(
            [sys.executable, "-m", "mtbert_ray.sweep", *arguments, *where], cwd=ROOT, start_new_session=True
        )

    def _events(self) -> int:
        journal = self.out / "journal.jsonl"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def _made_progress(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether an epoch has come since the last kill or start: less would be no test of what is kept."""
        if self._events() < self._seen + 4:
            return False
        for trial in read_journal(self.out).trials:
            if trial.status == "finished":
                self.finished.setdefault(trial.trial_id, outcome_of(trial, self.out))
        return process.poll() is None

    def _kill(self, process: "subprocess.Popen[bytes]", victim: str) -> bool:
        self._seen = self._events()
        if victim == "node":
            assert self.nodes is not None
            return self.nodes.kill()
        found = self._processes(process, victim)
        if not found:
            return False
        try:
            self.rng.choice(found).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        return True

    def _processes(self, supervisor: "subprocess.Popen[bytes]", victim: str) -> list[psutil.Process]:
        """The processes of the sweep that are of a kind."""
        try:
            above = psutil.Process(supervisor.pid)
            if victim == "supervisor":
                return [above]
            sessions = above.children()
            if victim == "sweep":
                return sessions
            parents = self.nodes.raylets() if self.nodes else sessions
            everything = [each for parent in parents for each in parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        return [each for each in everything if has_title(each, TITLES.get(victim, (f"/{victim}",)))]


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def attack(
    folder: Path,
    algorithm: str,
    victims: list[str],
    *,
    trials: int,
    epochs: int,
    seed: int,
    num_workers: int = 1,
    concurrent_trials: int = 1,
    nodes: TwoNodes | None = None,
    look: Callable[[psutil.Process], None] = lambda supervisor: None,
    expected: dict[str, Any] | None = None,
) -> Chaos:
    """Run a sweep undisturbed and one under attack, and compare them; `look` is called before each kill.

    `expected` has the outcomes of an undisturbed sweep of the same space, if there was one before.

    Raises:
        AssertionError: they differ, a finished trial was touched, or an epoch that was reported was trained again.
    """
    space, undisturbed, out = folder / "space.yaml", folder / "undisturbed", folder / "out"
    space.write_text(
        space_text(
            algorithm, trials=trials, epochs=epochs, num_workers=num_workers, concurrent_trials=concurrent_trials
        )
    )
    if expected is None:
        if num_workers == 1:
            run_in_process(new_request(space, out=undisturbed))
        else:
            Chaos(space, undisturbed, random.Random(seed), nodes).run([])
        expected = outcomes(read_journal(undisturbed), undisturbed)
    chaos = Chaos(space, out, random.Random(seed), nodes, look)
    chaos.expected = expected
    chaos.run(victims)
    sweep = read_journal(out)
    found = outcomes(sweep, out)
    assert not (wrong := differences(expected, found)), wrong
    untouched = {trial_id: found[trial_id] for trial_id in chaos.finished}
    assert untouched == chaos.finished, "a trial that had finished was changed"
    continued, lacking = restarts(out)
    assert lacking == 0, f"{lacking} of {continued} restarts trained epochs again that had been reported"
    assert not list(out.glob("trials/*/state")), "states are removed when their trials end"
    return chaos


def main(
    kills: Annotated[int, typer.Option(min=1)] = 20,
    algorithm: Annotated[str, typer.Option(help="random, grid or front.")] = "random",
    trials: Annotated[int, typer.Option(min=1)] = 8,
    epochs: Annotated[int, typer.Option(min=1)] = 60,
    num_workers: Annotated[int, typer.Option(min=1, help="Of a trial; several run under Ray Train.")] = 1,
    cluster: Annotated[bool, typer.Option(help="Start a Ray of two nodes, and kill the second.")] = False,
    victim: Annotated[list[str] | None, typer.Option(help="Kill only these kinds; may be repeated.")] = None,
    seed: int = 0,
) -> None:
    """Attack sweeps until so many kills have been made; print the counts."""
    every = [*(["trial", "sweep", "supervisor", "node"] if cluster else VICTIMS), *["worker"] * (num_workers > 1)]
    kinds = victim or every
    rng, total, number, all_continued = random.Random(seed), Counter[str](), 0, 0
    expected: dict[str, Any] | None = None
    with two_nodes() if cluster else nullcontext() as nodes:
        while total.total() < kills:
            victims = [rng.choice(kinds) for _ in range(min(KILLS_A_SWEEP, kills - total.total()))]
            with tempfile.TemporaryDirectory() as folder:
                chaos = attack(
                    Path(folder),
                    algorithm,
                    victims,
                    trials=trials,
                    epochs=epochs,
                    seed=seed + number,
                    num_workers=num_workers,
                    # Two cores have room for one trial of several workers.
                    concurrent_trials=1 if num_workers > 1 else 2,
                    nodes=nodes,
                    expected=expected,
                )
                expected = chaos.expected
                continued, _ = restarts(Path(folder) / "out")
            total += chaos.kills
            number += 1
            all_continued += continued
            counts = ", ".join(f"{count} {victim}" for victim, count in sorted(total.items()))
            typer.echo(
                f"{algorithm}: {number} sweeps, {total.total()} kills ({counts}); {all_continued} times continued"
            )


if __name__ == "__main__":
    typer.run(main)
