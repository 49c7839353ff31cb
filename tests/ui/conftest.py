"""A server, a browser that can reach nothing else, and data for both."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
EXAMPLES = Path(__file__).parents[2] / "examples" / "ui" / "make_data.py"
WAIT = 60_000  # ms until something appears, on a busy machine
RUN = 150_000  # ms until a run ends


def pytest_collection_modifyitems(items):
    """Skip what needs a browser where there is none, and say what is missing."""
    missing = [name for name in ("nicegui", "playwright") if importlib.util.find_spec(name) is None]
    if chromium() is None:
        missing.append("Chromium (apt-get install chromium)")
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(skip)


def chromium():
    """Return the path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((result for result in map(shutil.which, names) if result), None)


class Server:
    """The command ``sk-ednn ui`` in its own process."""

    def __init__(self, folder, data):
        self.folder, self.data, self.port = folder, data, 0
        self.start()

    def start(self):
        command = [
            sys.executable, "-m", "sk_ednn", "ui", str(self.folder), "--data", str(self.data),
            "--port", str(self.port), "--no-open",
        ]  # fmt: skip
        root = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        line = self.process.stdout.readline()
        result = re.search(r"(http://127\.0\.0\.1:(\d+))/\?token=(\S+)", line)
        assert result, f"the server did not start: {line!r}"
        self.base, self.port, self.token = result[1], int(result[2]), result[3]
        self.address = result[0]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()

    def restart(self):
        self.stop()
        self.start()


def example_data():
    """Return the module that writes example data."""
    spec = importlib.util.spec_from_file_location("make_ui_data", EXAMPLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Return a folder with data."""
    place = tmp_path_factory.mktemp("ui")
    data = place / "data"
    data.mkdir()
    examples = example_data()
    examples.write_spins(data, 150)
    examples.write_cells(data / "cells", 14, 64)
    examples.write_silicon(data, 4)
    return place


@pytest.fixture(scope="session")
def server(place):
    """Return a server whose runs and data are in `place`."""
    server = Server(place / "runs", place / "data")
    yield server
    for run in _running(place / "runs"):
        run.stop()
    server.stop()


def _running(folder):
    from sk_ednn.runs import RunFolder

    return [run for run in RunFolder(folder).runs() if run.status == "running"]


@pytest.fixture(scope="session")
def browser():
    """Return a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        result = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield result
        result.close()


class Visit:
    """A page of the browser, with all that went wrong on it."""

    def __init__(self, browser, server, *, width=1280, dark=False):
        self.server = server
        self.foreign, self.errors = [], []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.goto(server.address)

    def _route(self, route):
        address = route.request.url
        if address.startswith((self.server.base, "data:", "blob:")):
            route.continue_()
            return
        self.foreign.append(address)
        route.abort()

    def _dialog(self, dialog):
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path):
        """Open a page, and wait until it is connected."""
        self.page.goto(self.server.base + path)
        self.page.wait_for_selector("h1")

    def shoot(self, name):
        """Keep a picture of the page, where a folder for them is named."""
        folder = os.environ.get("UI_SHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def state(self, *wanted, timeout=RUN):
        """Wait until the run is in one of these states; return it."""
        self.page.wait_for_function(
            "wanted => wanted.includes(document.querySelector('.state')?.innerText.trim())",
            arg=list(wanted), timeout=timeout,
        )  # fmt: skip
        return self.page.inner_text(".state").strip()

    def choose(self, files, last=False):
        """Give files to the first uploader of the page, or to the last one."""
        with self.page.expect_file_chooser() as chooser:
            self.page.click(f".q-uploader__header .q-btn >> nth={-1 if last else 0}")
        chooser.value.set_files(files)

    def download(self, click):
        """Return the bytes of what a click downloads."""
        with self.page.expect_download() as started:
            click()
        return Path(started.value.path()).read_bytes()

    def close(self):
        self.context.close()


@pytest.fixture
def visit(browser, server):
    """Return a function that opens a visit; requests to other hosts fail the test."""
    visits = []

    def open_visit(**options):
        visits.append(Visit(browser, server, **options))
        return visits[-1]

    yield open_visit
    for one in visits:
        one.close()
    assert [address for one in visits for address in one.foreign] == []
    assert [error for one in visits for error in one.errors] == []
