"""The page as its reader has it: it draws everything, answers to every control, and can be read by everybody."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_sweep import DESKTOP, PHONE

from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.wording import number

COUNT = re.compile(r"^([\d,]+) of")


def rows_left(page) -> int:
    return int(COUNT.match(page.inner_text("#table-count"))[1].replace(",", ""))


def points_of(page, chart="front-chart") -> dict[str, tuple[float, float]]:
    """Return trial -> its place, of the marks of a chart."""
    script = f"""document.getElementById("{chart}").data.filter((trace) => trace.mode === "markers" && trace.customdata)
        .flatMap((trace) => trace.customdata.map((id, at) => [id, trace.x[at], trace.y[at]]))"""
    return {trial: (x, y) for trial, x, y in page.evaluate(script)}


@pytest.fixture(scope="session")
def outcome(sweep_folder):
    return outcome_of(read_journal(sweep_folder))


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "light"), (DESKTOP, "dark")])
def test_everything_is_drawn_within_the_width_and_axe_finds_no_serious_fault(opened, judged_page, size, scheme):
    own = opened(judged_page, size, scheme=scheme)
    own.draw_all()
    assert own.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    # Closed parts count as well.
    own.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(own.page, options={"resultTypes": ["violations"]})
    serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in serious] == []


def test_the_dialog_of_a_trial_has_no_serious_fault_and_closes_with_escape(opened, judged_page, outcome):
    own = opened(judged_page)
    own.page.locator("#recommended .trial-link").first.click()
    assert own.page.inner_text("#detail-title") == outcome.front[0].trial_id
    found = Axe().run(own.page, context="#detail")
    assert [one["id"] for one in found.response["violations"] if one["impact"] in ("serious", "critical")] == []
    own.page.keyboard.press("Escape")
    assert not own.page.locator("#detail").is_visible()


def test_choosing_objectives_changes_the_plot(opened, judged_page, outcome):
    own = opened(judged_page)
    own.draw_all()
    for across, up in (("peak_memory_gib", "dev_score"), ("train_seconds", "peak_memory_gib")):
        own.page.select_option("#front-x", across)
        own.page.select_option("#front-y", up)
        expected = {trial.trial_id: (trial.metrics[across], trial.metrics[up]) for trial in outcome.compared}
        assert points_of(own.page) == expected
    assert "peak memory against train time" in own.page.get_attribute("#front-chart", "aria-label")
    own.page.uncheck("#front-dominated")
    assert set(points_of(own.page)) == {trial.trial_id for trial in outcome.front}
    own.page.select_option("#front-x", "order")  # A single objective has no other axis.


def test_limits_and_weights_pick_from_the_front_and_give_the_command(opened, judged_page, outcome, sweep_folder):
    own = opened(judged_page)

    def picked() -> str:
        trial_id = own.page.inner_text("#pick .trial-link")
        command = f"python -m mtbert_ray.train --config '{sweep_folder}/trials/{trial_id}/config.yaml'"
        assert own.page.inner_text("#pick .command code") == command
        return trial_id

    def best(name, sign, members):
        return min(members, key=lambda trial: sign * trial.metrics[name]).trial_id

    assert picked() == best("dev_score", -1, outcome.front)
    memory = sorted(trial.metrics["peak_memory_gib"] for trial in outcome.front)
    limit = round((memory[1] + memory[-1]) / 2, 3)
    own.page.get_by_label("Most peak memory in GiB").fill(str(limit))
    within = [trial for trial in outcome.front if trial.metrics["peak_memory_gib"] <= limit]
    assert 0 < len(within) < len(outcome.front)
    assert picked() == best("dev_score", -1, within)
    assert f"{len(within)} of {len(outcome.front)} on the front" in own.page.inner_text("#pick")
    own.page.fill("[id='weight-dev_score']", "0")
    own.page.fill("[id='weight-train_seconds']", "10")
    assert picked() == best("train_seconds", 1, within)
    own.page.get_by_label("Most peak memory in GiB").fill("0.001")
    assert own.page.inner_text("#pick") == "No trial on the front is within these limits."


def test_a_slider_moves_by_keys_and_its_tightest_limit_still_admits_a_trial(opened, judged_page, outcome):
    own = opened(judged_page)
    slider = own.page.locator("[id='limit-peak_memory_gib']")
    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "any"
    own.page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext").endswith(" GiB")
    own.page.keyboard.press("Home")
    cheapest = min(outcome.front, key=lambda trial: trial.metrics["peak_memory_gib"])
    assert own.page.inner_text("#pick .trial-link") == cheapest.trial_id


def test_brushing_an_axis_filters_the_table(opened, judged_page, outcome):
    own = opened(judged_page)
    own.draw_all()
    own.page.locator("#parallel-chart").scroll_into_view_if_needed()
    before = rows_left(own.page)
    box = own.page.locator("#parallel-chart .axis-brush .background").first.bounding_box()
    x = box["x"] + box["width"] / 2
    own.page.mouse.move(x, box["y"] + 0.05 * box["height"])
    own.page.mouse.down()
    own.page.mouse.move(x, box["y"] + 0.5 * box["height"], steps=8)
    own.page.mouse.up()
    own.page.wait_for_function("!document.getElementById('filter-clear').disabled")
    low, high = own.page.evaluate("document.getElementById('parallel-chart').data[0].dimensions[0].constraintrange")
    kept = [trial for trial in outcome.compared if low <= trial.metrics["dev_score"] <= high]
    assert 0 < rows_left(own.page) == len(kept) < before
    own.page.click("#filter-clear")
    assert rows_left(own.page) == before


def test_the_form_filters_as_brushing_does(opened, judged_page, outcome):
    own = opened(judged_page)
    own.page.click("#filter-form summary")
    own.page.get_by_label("most learning_rate").fill("0.0003")
    own.page.get_by_label("most learning_rate").press("Tab")
    rated = [trial for trial in outcome.sweep.trials if trial.hyperparameters["learning_rate"] <= 0.0003]
    assert rows_left(own.page) == len(rated)
    own.page.locator("#filter-rows fieldset", has_text="adapter.kind").get_by_label("lora").uncheck()
    assert rows_left(own.page) == sum(trial.hyperparameters["adapter.kind"] != "lora" for trial in rated)
    own.draw_all()  # The chart shows the same ranges.
    ranges = own.page.evaluate(
        "document.getElementById('parallel-chart').data[0].dimensions.map((one) => one.constraintrange ?? null)"
    )
    assert sum(one is not None for one in ranges) == 2


def test_the_table_has_the_journals_numbers_and_sorts_with_gaps_last(opened, judged_page, outcome):
    own = opened(judged_page)
    own.page.get_by_role("button", name="dev score").click()
    own.page.click("#table-more")
    shown = own.page.locator("#table tbody tr")
    rows = [shown.nth(place).locator("th,td").all_inner_texts() for place in range(shown.count())]
    trials = {trial.trial_id: trial for trial in outcome.sweep.trials}
    assert sorted(row[0] for row in rows) == sorted(trials)
    assert [row[2] for row in rows] == [number("dev_score", trials[row[0]].metrics["dev_score"]) for row in rows]
    assert [row[3] for row in rows] == [
        number("peak_memory_gib", trials[row[0]].metrics["peak_memory_gib"]) for row in rows
    ]
    scores = [trials[row[0]].metrics["dev_score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    own.page.get_by_role("button", name="adapter.rank").click()
    ranks = own.page.locator("#table tbody tr").evaluate_all("(rows) => rows.map((row) => row.cells[10].textContent)")
    gaps = [place for place, rank in enumerate(ranks) if rank == ""]
    assert gaps == list(range(len(ranks) - len(gaps), len(ranks)))


def test_the_keyboard_reaches_every_control(opened, judged_page):
    own = opened(judged_page)
    own.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    script = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
        .filter((one) => one.checkVisibility() && !one.disabled).map((one, at) => (one.dataset.at = at, at))"""
    controls = own.page.evaluate(script)
    reached = set()
    own.page.evaluate("document.body.focus()")
    for _ in range(len(controls) + 2):
        own.page.keyboard.press("Tab")
        reached.add(own.page.evaluate("document.activeElement.dataset.at ?? null"))
    assert {str(place) for place in controls} <= reached


def test_it_prints_with_all_charts_and_on_white(opened, judged_page):
    own = opened(judged_page, scheme="dark")
    own.page.wait_for_function("window.Plotly")
    own.page.emulate_media(media="print")
    own.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    drawn = own.page.locator(".chart .main-svg").count()
    assert drawn >= 5
    assert own.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert own.page.evaluate("document.getElementById('front-chart').layout.paper_bgcolor") == "#ffffff"
    assert not own.page.locator("#limit-rows").is_visible()


def test_without_plotly_the_answer_the_table_and_the_limits_still_work(opened, judged_page, outcome):
    own = opened(judged_page, script="delete window.DecompressionStream")
    own.page.locator("#front-chart").scroll_into_view_if_needed()
    own.page.wait_for_selector("#front-chart .warning")
    assert "Charts cannot be drawn in this browser" in own.page.inner_text("#front-chart")
    assert own.page.inner_text("#pick .trial-link") == outcome.front[0].trial_id
    assert rows_left(own.page) == len(outcome.sweep.trials)


def test_every_command_of_the_first_screen_can_be_copied(opened, judged_page):
    own = opened(judged_page)
    own.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    own.page.locator("#recommended summary").first.click()
    line = own.page.locator("#recommended .command").first
    line.locator(".copy").click()
    own.page.wait_for_function("document.querySelector('#recommended .copy').textContent !== 'Copy'")
    assert (
        json.loads(own.page.evaluate("navigator.clipboard.readText().then(JSON.stringify)"))
        == line.locator("code").inner_text()
    )
