import subprocess
import sys

BLOCKED = ("torch", "transformers", "peft", "ray", "optuna", "tokenizers", "datasets")
RUN_WITHOUT = f"""
import sys
class Blocked:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked)
from mtbert_ray.report import main
main()
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_report_runs_where_neither_torch_nor_ray_is_installed(eight_trials):
    done = run(eight_trials)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The report: {eight_trials / 'index.html'}\n"
    assert (eight_trials / "index.html").stat().st_size > 0


def test_a_wrong_folder_is_one_message_and_exit_2(tmp_path):
    done = run(tmp_path / "nowhere")
    assert done.returncode == 2
    assert "journal.jsonl: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_says_what_is_written():
    done = run("--help")
    assert done.returncode == 0
    for file in ("index.html", "report.md", "trials.csv", "pareto.csv", "journal.jsonl"):
        assert file in done.stdout
