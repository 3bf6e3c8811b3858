"""A chromium for the tests, and pages that note what must not happen: errors, and requests."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from page_sweep import DESKTOP, write_page, write_sweep
from playwright.sync_api import Page, sync_playwright

CHARTS = ("front-chart", "parallel-chart", "effects-chart", "volume-chart", "curves-chart")


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None and not os.environ.get("CI"):
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Drawn without a GPU; a container has no namespaces for the sandbox.
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that is open, and what it did that it must not."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def draw_all(self) -> None:
        """Scroll to each chart until it is drawn."""
        for name in CHARTS:
            if self.page.locator(f"#{name}").count():
                self.page.locator(f"#{name}").scroll_into_view_if_needed()
                self.page.wait_for_selector(f"#{name} .main-svg", state="attached")


@pytest.fixture
def opened(chromium):
    """A page's file -> the page, open; afterwards it must have had no error and made no request."""
    every = []

    def open_page(file: Path, size=DESKTOP, *, scheme="light", script=None) -> Opened:
        page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        page.set_default_timeout(120_000)  # A busy machine draws slowly.
        if script:
            page.add_init_script(script)
        own = Opened(page)
        page.on("console", lambda message: message.type in ("error", "warning") and own.errors.append(message.text))
        page.on("pageerror", lambda error: own.errors.append(str(error)))
        page.on("request", lambda request: own.requests.append(request.url))
        page.on("dialog", lambda dialog: (own.errors.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        every.append((own, file))
        return own

    yield open_page
    for own, file in every:
        own.page.close()
        others = [url for url in own.requests if url != file.as_uri() and not url.startswith(("data:", "blob:"))]
        assert others == []
        assert [text for text in own.errors if "GPU stall" not in text and "swiftshader" not in text.lower()] == []


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("browser") / "a sweep")


@pytest.fixture(scope="session")
def judged_page(sweep_folder):
    return write_page(sweep_folder, judged=True)
