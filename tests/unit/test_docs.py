"""Files, commands, flags and keys that the pages name exist."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mtbert_ray.study.space import load_search_space

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "findings").glob("*.md")])
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
HISTORY = ("docs/LOG.md", "CHANGELOG.md")
"""Pages that name files as they were called then."""
COMMANDS = ("sweep", "train", "predict", "report", "sample", "export", "replay")


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings, and those that it has of its own."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    own = set(re.findall(r'<a id="(.+?)">', text))
    return own | {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) < 120


def test_every_key_is_listed_as_the_models_have_it():
    done = subprocess.run(
        [sys.executable, "scripts/configuration", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", TEXTS)
def test_flags_exist(page):
    """Every `--flag` behind the name of a command is one of that command's."""
    code = re.sub(r"\\\n", " ", TEXTS[page])
    for name, rest in re.findall(r"mtbert_ray\.(\w+)\b([^\n`|;]*)", code):
        if name not in COMMANDS:
            continue
        app = importlib.import_module(f"mtbert_ray.{name}").app
        known = {flag for parameter in typer.main.get_command(app).params for flag in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)) <= known, (name, rest)


@pytest.mark.parametrize("page", [page for page in TEXTS if page not in HISTORY])
def test_modules_that_are_named_exist(page):
    files = {f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("*/**/*.py")}
    named = set(re.findall(r"[\w/]+\.py\b", TEXTS[page]))
    assert {name for name in named if not any(file.endswith(f"/{name}") for file in files)} == set()


def spaces() -> list[tuple[str, str]]:
    blocks = [
        (page, block) for page, text in TEXTS.items() for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    ]
    return [(page, block) for page, block in blocks if "objectives:" in block and "search:" in block]


@pytest.mark.parametrize(("page", "block"), spaces(), ids=lambda value: value[:20].split("\n")[0])
def test_search_spaces_are_right(page, block, tmp_path, recwarn):
    (tmp_path / "space.yaml").write_text(block, encoding="utf-8")
    load_search_space(tmp_path / "space.yaml")
    assert not [str(warning.message) for warning in recwarn if "called" in str(warning.message)]


def test_the_examples_of_the_api_run(monkeypatch, capsys):
    """Those that need neither a sweep nor a checkpoint."""
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", TEXTS["docs/api.md"], flags=re.DOTALL)
    ran = [block for block in blocks if "run_sweep(" not in block and ".load(" not in block]
    assert len(ran) == 5
    for block in ran:
        exec(block, {})
    promised = re.findall(r"print\(.*\)  # (.*)", "\n".join(ran))
    assert promised and set(promised) <= set(capsys.readouterr().out.splitlines())
