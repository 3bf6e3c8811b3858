"""Pages of odd sweeps: hostile texts, nothing to show, one or four objectives, many trials."""

import pytest
from page_sweep import OBJECTIVES, PHONE, write_page, write_sweep

from mtbert_ray.metrics import Objective

HOSTILE = """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"> "it's" <b>&amp; $x^2$
%{y} second\u2028line"""
ONE = {"sts": Objective(direction="maximize", reference=0.0)}
FOUR = {**OBJECTIVES, "energy_kj": Objective(direction="minimize", reference=200.0)}


def test_scripts_quotes_and_line_breaks_are_shown_as_text(opened, tmp_path):
    page = write_page(write_sweep(tmp_path / "hostile", 30, hostile=HOSTILE), judged=True, text=HOSTILE)
    own = opened(page)
    own.draw_all()
    own.page.locator("#recommended .trial-link").first.click()
    assert own.page.evaluate("window.hacked") is None
    assert own.page.evaluate("document.images.length + document.querySelectorAll('b img, iframe').length") == 0
    words = " ".join(HOSTILE.split())
    for place in ("#name", "#question", "#notes", "#recommended", "#choices", "#ended-rows", "#environment", "#detail"):
        shown = " ".join(own.page.locator(place).text_content().split())
        assert words in shown, place
    own.page.keyboard.press("Escape")
    # Plotly reads markup in its texts, so that they are escaped for it.
    own.page.select_option("#front-color", "data.source")
    texts = own.page.evaluate(
        "[...document.querySelectorAll('#front-chart text, #effects-chart text')].map((one) => one.textContent)"
    )
    assert any(text.startswith("data.source </script><scri") for text in texts)


@pytest.mark.parametrize(
    ("case", "asked"),
    {
        "no trial": {"num_trials": 0, "finishes": False},
        "failures only": {"num_trials": 4, "ends": "failed"},
        "one trial": {"num_trials": 1, "ends": "finished"},
        "one objective": {"num_trials": 12, "objectives": ONE},
        "four objectives": {"num_trials": 12, "objectives": FOUR},
        "one epoch": {"num_trials": 12, "epochs": 1},
        "still running": {"num_trials": 12, "finishes": False},
    }.items(),
)
def test_a_page_of_any_sweep_is_whole(opened, tmp_path, case, asked):
    own = opened(write_page(write_sweep(tmp_path / "odd", **asked)), PHONE)
    own.draw_all()
    assert own.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert own.page.locator("#headline").inner_text()
    for heading in own.page.locator("section").all():
        assert len(heading.inner_text().splitlines()) > 1, heading.inner_text()  # No heading without content.


def test_a_thousand_trials_make_a_page_of_few_elements(opened, tmp_path):
    page = write_page(write_sweep(tmp_path / "many", 1000, epochs=10))
    assert page.stat().st_size < 5e6
    own = opened(page)
    assert own.page.locator("#table tbody tr").count() == 25
    assert own.page.evaluate("document.querySelectorAll('*').length") < 4000
    own.page.locator("#front-chart").scroll_into_view_if_needed()
    own.page.wait_for_selector("#front-chart .main-svg")
    # A slider moves the ring without drawing the chart again.
    own.page.evaluate("document.querySelector('#front-chart .points').dataset.mine = 'yes'")
    own.page.locator("[id='limit-peak_memory_gib']").press("Home")
    assert own.page.evaluate("document.querySelector('#front-chart .points').dataset.mine") == "yes"
