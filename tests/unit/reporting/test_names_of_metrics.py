"""A metric is named after a class, and a class can be called anything: the report has each name, whole and harmless."""

import re
import warnings

import pandas as pd
import pytest
from page_view import own_markup, view_in

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting import document
from mtbert_ray.reporting.document import front_drawings, markdown_text, progress_drawings, write_report
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.trial_figures import score_panels
from mtbert_ray.reporting.wording import axis_label, plain_name

CLASSES = [
    "n/a",
    "../../up",
    "$x^$",
    "a|b",
    "a\\|b",
    "long" * 57 + "er",
    'it\'s "quoted"',
    "<script>alert(1)</script>",
    "two\nlines\r\nand more",
    "_emphasis_ `code` *bold* ~struck~",
    "&amp;",
    "ten_seconds",
    "gpu",
]


DRAWN = {"$x^$", "a\\|b", "long" * 57 + "er", "two\nlines\r\nand more", "_emphasis_ `code` *bold* ~struck~"}
"""What could change a picture's layout, or be taken for a formula."""


@pytest.fixture(autouse=True)
def _coarse_pictures(request, monkeypatch):
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or callspec.params.get("name") in DRAWN:
        request.getfixturevalue("pictures")
    monkeypatch.setattr(document, "DPI", 20)  # Drawn in a fraction of the time.


def written(sweep, *classes, folder="nasty", epochs=1):
    """Write the report of a sweep with an objective for each class, and return its folder."""
    names = [f"sst.f1.{name}" for name in classes]
    objectives = {name: Objective(direction="maximize", reference=0.0, constraint=0.1) for name in names}
    objectives["train_seconds"] = Objective(direction="minimize", reference=1000.0)
    other = type(sweep)(sweep.folder.parent / folder, objectives=objectives)
    for place, kind in enumerate(("none", "lora", "none", "lora")):
        config = {"adapter__kind": kind, "learning_rate": 1e-5 * (place + 1)}
        scores = dict.fromkeys(names, 0.2 + 0.1 * place)
        other.trial(f"t{place}", [0.5 + 0.05 * place] * epochs, config=config, **scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # As of a layout that does not fit.
        write_report(other.finish())
    return other.folder


def pictures_of(folder):
    return re.findall(r"!\[(?:[^\]\\]|\\.)*\]\(([^)]+)\)", (folder / "report.md").read_text())


def tables_of(markdown):
    """Return the lines of each table, cut into cells at the | that Markdown cuts at."""
    blocks = [block.splitlines() for block in markdown.split("\n\n")]
    tables = [[line for line in block if line.startswith("|")] for block in blocks]
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table] for table in tables if table]


def check_pages(folder, name):
    page, markdown = folder / "index.html", (folder / "report.md").read_text()
    shown = " ".join(f"sst.f1.{name}".split())
    assert shown in [objective["label"] for objective in view_in(page)["objectives"]]
    assert "<script>alert" not in own_markup(page) + markdown
    for table in tables_of(markdown):
        assert len({len(cells) for cells in table}) == 1, table
    tables = {table[0][0].strip(): table for table in tables_of(markdown)}
    points, asked, trials = (tables[head] for head in ("trial", "objective", "trial id"))
    assert points[0][1].strip() == asked[2][0].strip() == markdown_text(shown)
    assert markdown_text(shown) in [cell.strip() for cell in trials[0]]
    assert asked[2][1].strip() == markdown_text(f"F1 of the class {name} on the dev set of sst")
    for file in ("trials.csv", "pareto.csv"):
        with (folder / file).open(newline="") as lines:
            assert f"sst.f1.{name}" in pd.read_csv(lines).columns


@pytest.mark.parametrize("name", CLASSES)
def test_a_report_is_written_with_the_whole_name_and_links_to_its_figures(sweep, name):
    folder = written(sweep, name, epochs=1 + len(name) % 2)
    pictures = pictures_of(folder)
    assert len(pictures) == 5
    assert {f"figures/{path.name}" for path in (folder / "figures").iterdir()} == set(pictures)
    assert all(re.fullmatch(r"figures/[a-z0-9_.-]{1,160}\.png", picture) for picture in pictures)
    assert not list(sweep.folder.parent.rglob("up*"))
    check_pages(folder, name)


def test_names_that_are_alike_have_figures_of_their_own(sweep):
    alike = ["a|b", "a_b", "A_b", "long" * 60, "long" * 61]
    folder = written(sweep, *alike)
    fronts = [picture.lower() for picture in pictures_of(folder) if "/front-" in picture]
    assert len(fronts) == len(set(fronts)) == 6 * 5 / 2
    assert "figures/front-sst.f1.a_b-vs-train_seconds.png" in fronts


def test_markdown_shows_the_signs_that_it_has_a_use_for():
    assert markdown_text("$x^$ a|b _c_ dev_score ~d~") == r"\$x^\$ a\|b \_c\_ dev_score \~d\~"


def test_figures_show_a_name_as_it_is_written_and_cut_a_long_one_in_its_middle(sweep):
    folder = written(sweep, "$x^$", "long" * 57 + "er")
    outcome = outcome_of(read_journal(folder))
    drawings = [*front_drawings(outcome), *progress_drawings(outcome, 0.0)]
    texts = [text.get_text() for drawing in drawings for axes in drawing.figure.axes for text in axes.findobj(is_text)]
    assert "sst.f1.$x^$   better →" in texts
    assert "sst.f1.longlong…glonglonglonger   better →" in texts
    assert max(map(len, texts)) < 200
    # Nothing else that a user has named is read as a formula.
    with_dollar = [
        text
        for drawing in drawings
        for axes in drawing.figure.axes
        for text in axes.findobj(is_text)
        if "$x" in text.get_text()
    ]
    assert with_dollar and not any(text.get_parse_math() for text in with_dollar)


def is_text(artist):
    return hasattr(artist, "get_parse_math")


def test_a_legend_shows_the_values_of_a_hyperparameter_as_they_are_written(sweep):
    names = {"encoder": ["$x^$", "$y_$"]}
    other = type(sweep)(sweep.folder.parent / "legend", hyperparameters=("encoder",))
    for place, encoder in enumerate(names["encoder"] * 2):
        other.trial(f"t{place}", [0.5, 0.6], config={"encoder": encoder}, peak_memory_gib=2.0 + place)
    write_report(other.finish())
    assert len(pictures_of(other.folder)) == 5


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("topic.f1_macro", "topic.f1_macro"),
        ("topic.f1.ten_seconds", "topic.f1.ten_seconds"),
        ("topic.f1.gpu", "topic.f1.gpu"),
        ("film_reviews", "film_reviews"),
        ("dev_score", "dev score"),
        ("train_loss.film_reviews", "train loss, film_reviews"),
        ("best_epoch", "best epoch"),
    ],
)
def test_a_task_s_scores_keep_their_names_and_costs_are_in_words(metric, words):
    assert (plain_name(metric), axis_label(metric)) == (words, words)


def test_a_panel_says_of_which_class_the_f1_is(sweep):
    sweep.start(
        "t0",
        fixed={
            "tasks": [{"name": "quora", "kind": "pair_classification", "num_classes": 2, "metrics": ["f1.1"]}, "sts"]
        },
        adapter__kind="none",
    )
    sweep.end("t0")
    panels = score_panels(outcome_of(read_journal(sweep.finish())))
    assert (panels["quora"], panels["sts"]) == ("F1 of the class 1", "Pearson correlation")
