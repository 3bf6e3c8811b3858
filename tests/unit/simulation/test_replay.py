"""The command line: what it prints, writes and refuses."""

import csv
import json
import subprocess
import sys

import pytest
from recorded_sweep import OBJECTIVES, RecordedSweep
from typer.testing import CliRunner

from mtbert_ray.metrics import Objective
from mtbert_ray.replay import app

BLOCKED = ("torch", "transformers", "peft", "ray", "tokenizers", "datasets", "onnxruntime")
RUN_WITHOUT = f"""
import sys
for name in {BLOCKED!r}:
    sys.modules[name] = None  # `import name` now raises ModuleNotFoundError
from mtbert_ray.replay import main
main()
"""


def replay(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


def rows_of(graded, tmp_path, *arguments: object) -> list[dict]:
    out = tmp_path / "runs.csv"
    done = replay(graded, "--output", out, *arguments)
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(out.open()))


def test_it_runs_where_neither_torch_nor_ray_is_installed(graded):
    done = subprocess.run([sys.executable, "-c", RUN_WITHOUT, str(graded)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("9 whole trials: 81 epochs, ")


class TestFifo:
    def test_it_reaches_everything_for_everything(self, graded, tmp_path):
        (row,) = rows_of(graded, tmp_path, "--rule", "fifo", "--seeds", 1)
        assert float(row["hypervolume_at_9"]) == float(row["hypervolume_at_end"]) == 1.0
        assert (row["epochs"], row["steps"], row["trials"], row["stopped"]) == ("81", "405", "9", "0")
        # Nine epochs of ten seconds and one for the scores; the next trial takes a second an epoch more.
        assert float(row["seconds"]) == float(row["wall_seconds"]) == sum(9 * (11 + place) for place in range(9))

    def test_the_best_comes_first_in_the_journal_and_later_when_shuffled(self, graded, tmp_path):
        first, *shuffled = rows_of(graded, tmp_path, "--rule", "fifo", "--seeds", 6)
        assert float(first["hypervolume_at_2.25"]) == 1.0
        assert any(float(row["hypervolume_at_2.25"]) < 1.0 for row in shuffled)
        assert all(float(row["hypervolume_at_end"]) == 1.0 for row in shuffled)

    def test_more_workers_take_less_time_and_no_less_work(self, graded, tmp_path):
        one, three = rows_of(graded, tmp_path, "--rule", "fifo", "--workers", 1, "--workers", 3, "--seeds", 1)
        assert one["seconds"] == three["seconds"]
        assert float(three["wall_seconds"]) < 0.4 * float(one["wall_seconds"])


class TestPareto:
    def test_it_spends_less_and_keeps_the_best(self, graded, tmp_path):
        (first, row) = (
            rows_of(graded, tmp_path, "--rule", "pareto", "--seeds", 1, *options)[0]
            for options in ((), ("--set", "grace_period=1"))
        )
        assert first["epochs"] == "25"  # By default the first rung is behind the warm-up, as in a sweep.
        # At the first rung, epoch 1, each trial after the first is the last of all so far.
        assert (row["stopped"], row["epochs"], row["hypervolume_at_end"]) == ("8", "17", "1.0")

    def test_options_change_it_and_it_alone(self, graded, tmp_path):
        options = ("--rule", "pareto", "--rule", "asha:dev_score", "--seeds", 1)
        before, asha = rows_of(graded, tmp_path, *options)
        after, asha_after = rows_of(
            graded, tmp_path, *options, "--set", "grace_period=4", "--set", "reduction_factor=2"
        )
        assert int(after["epochs"]) > int(before["epochs"])
        assert asha == asha_after

    def test_a_constraint_ends_what_breaks_it(self, tmp_path):
        objectives = OBJECTIVES | {"train_seconds": Objective(direction="minimize", reference=1000.0, constraint=100.0)}
        sweep = RecordedSweep(tmp_path / "s", objectives=objectives)
        sweep.trial("t0", [0.9] * 9, seconds=20.0)
        sweep.trial("t1", [0.5] * 9, seconds=10.0)
        rows = rows_of(sweep.finish(), tmp_path, "--seeds", 1)
        assert [(row["rule"], row["epochs"], row["hypervolume_at_end"]) for row in rows] == [
            ("fifo", "18", "1.0"),
            ("pareto", "10", "1.0"),
        ]


class TestOutput:
    def test_what_is_printed(self, graded):
        done = replay(graded, "--rule", "fifo", "--rule", "pareto", "--seeds", 1, "--set", "grace_period=1")
        assert done.exit_code == 0, done.output
        heading, of_what, *lines = done.stdout.splitlines()
        assert heading == "9 whole trials: 81 epochs, 20 min 15 s of one worker."
        assert of_what.startswith("Hypervolume in % of what all of them reach, by budget in mean full runs; 1 seed")
        fifo, pareto = (next(line for line in lines if line.split()[:1] == [rule]) for rule in ("fifo", "pareto"))
        assert "0 of 9" in fifo and "100.0" in fifo
        assert "8 of 9 (1: 8)" in pareto and "17 (21%)" in pareto
        sentence = next(line for line in lines if "reaches" in line)
        assert sentence.startswith("pareto on the recorded trials, 1 worker, reaches 100.0% of the final hypervolume")
        assert "with 21% of the epochs" in sentence and "In the time of 9 full runs it would try about" in sentence

    def test_what_was_left_out_is_said(self, sweep):
        sweep.trial("t0", [0.5, 0.6])
        sweep.trial("t1", [0.5], end="stopped", epochs=2)
        assert "Left out: 1 stopped early." in replay(sweep.finish()).stdout

    def test_json_has_the_hypervolume_over_time(self, graded, tmp_path):
        out = tmp_path / "runs.json"
        done = replay(graded, "--rule", "fifo", "--seeds", 2, "--output", out)
        assert done.exit_code == 0, done.output
        written = json.loads(out.read_text())
        assert written["budgets"] == [2.25, 4.5, 6.75, 9.0]
        run = written["runs"][1]
        assert (run["seed"], len(run["spent"])) == (1, 9)
        assert run["spent"][-1] == pytest.approx(9.0) and run["hypervolume"][-1] == 1.0

    def test_help_teaches(self):
        done = replay("--help")
        assert done.exit_code == 0
        for word in ("scheduler fifo", "asha:METRIC", "recorded", "--lcbench", "grace_period=2"):
            assert word in " ".join(done.stdout.split())


class TestBadInput:
    @staticmethod
    def refused(*arguments: object) -> str:
        done = replay(*arguments)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output and done.stdout == ""
        return done.stderr

    def test_nothing_to_replay(self):
        assert "nothing to replay: give the folder of a sweep" in self.refused()

    def test_both_kinds(self, graded, tmp_path):
        assert "not both" in self.refused(graded, "--lcbench", tmp_path)

    def test_a_folder_without_a_journal(self, tmp_path):
        assert "journal.jsonl: cannot be read" in self.refused(tmp_path)

    def test_names_that_are_near(self, graded):
        told = self.refused(
            graded, "--rule", "paretto", "--rule", "asha:dev_scores", "--searcher", "frond"
        ).splitlines()
        hints = {"paretto": "'pareto'", "asha:dev_scores": "'asha:dev_score'", "frond": "'front'"}
        for line, (name, hint) in zip(told, hints.items(), strict=True):
            assert name in line and hint in line

    def test_options_of_the_rule(self, graded):
        told = self.refused(
            graded, "--set", "graze=2", "--set", "keep_quantile=2", "--set", "reduction_factor", "--set", "brackets={["
        )
        assert "'graze'" in told and "grace_period" in told
        assert "keep_quantile has 2" in told
        assert "--set reduction_factor: must be KEY=VALUE" in told
        assert "--set brackets={[: the '" in told

    def test_an_output_that_cannot_be(self, graded, tmp_path):
        told = self.refused(graded, "--output", tmp_path / "nowhere" / "runs.txt")
        assert "must end in .csv or .json" in told and "there is no folder" in told

    def test_a_searcher_without_one_space(self, tmp_path):
        sweep = RecordedSweep(tmp_path / "s", space={})
        sweep.trial("t0", [0.5, 0.6])
        assert "--searcher front: there is nothing to ask it for: the search space in" in self.refused(
            sweep.finish(), "--searcher", "front"
        )

    def test_the_benchmark_where_it_is_not(self, tmp_path):
        assert "holds yahpo gym's lcbench/" in self.refused("--lcbench", tmp_path)

    def test_options_without_effect_are_said(self, graded):
        with pytest.warns(UserWarning, match="--set has no effect"):
            assert replay(graded, "--rule", "fifo", "--set", "grace_period=2").exit_code == 0
        with pytest.warns(UserWarning, match="--task has no effect without --lcbench"):
            assert replay(graded, "--task", "3945").exit_code == 0


class TestBenchmark:
    def test_a_task(self, bench_dir, tmp_path):
        out = tmp_path / "runs.csv"
        options = ("--rule", "fifo", "--rule", "pareto", "--searcher", "random", "--seeds", 1, "--output", out)
        done = replay("--lcbench", bench_dir, "--task", "7593", *options)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("LCBench, 1 task, 1 seed, budgets in mean full runs.")
        fifo, pareto = csv.DictReader(out.open())
        assert (fifo["task"], fifo["stopped"]) == ("7593", "0")
        assert int(pareto["trials"]) > 2 * int(fifo["trials"]) and int(pareto["stopped"]) > 0

    def test_an_unknown_task(self, bench_dir):
        done = replay("--lcbench", bench_dir, "--task", "7594")
        assert done.exit_code == 2 and "LCBench has no task 7594; did you mean '7593'?" in done.stderr
