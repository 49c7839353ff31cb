"""Make the screenshots of the guide: ``python docs/_static/make_ui_figures.py [folder]``.

It starts the pages with example data, fits spins and counts cells in Chromium, and writes small
PNGs. It needs the extras `all` and `browser`, and Chromium.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT = 180_000


def main(folder):
    """Write all screenshots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = importlib.util.spec_from_file_location("data", ROOT / "examples/ui/make_data.py")
    examples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(examples)
    with TemporaryDirectory() as place:
        data = Path(place, "data")
        examples.main(data)
        command = [
            sys.executable, "-m", "sk_ednn", "ui", f"{place}/runs", "--data", str(data),
            "--port", "0", "--no-open",
        ]  # fmt: skip
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=ARGUMENTS
                )
                page = browser.new_page(viewport={"width": 1100, "height": 760})
                page.set_default_timeout(WAIT)
                draw(page, address, data, folder)
                browser.close()
        finally:
            server.terminate()


def draw(page, address, data, folder):
    """Go through the pages."""
    page.goto(address)
    page.click("button:has-text('spins.npz')")
    page.wait_for_selector("img[alt='Focus and context over a sample']")
    page.wait_for_selector("[data-model=auto] .when:text-matches('second|minute')")
    page.wait_for_timeout(1500)
    # Without the command, which would show a temporary folder.
    end = page.locator("h2:has-text('4 · Start')").bounding_box()["y"] - 25
    clip = {"x": 0, "y": 0, "width": 1100, "height": end}
    shoot(page, folder / "start.png", full_page=True, clip=clip)
    page.click("[data-model=dense]")
    page.click("text=Start the fit")
    page.wait_for_url("**/runs/2*")
    page.wait_for_selector("h2:has-text('Predicted and true totals')")
    page.wait_for_timeout(1500)
    shoot(page, folder / "run.png")
    base = address.partition("/?")[0]
    page.goto(f"{base}/count")
    with page.expect_file_chooser() as chooser:
        page.click(".q-uploader__header .q-btn >> nth=0")
    chooser.value.set_files(sorted((data / "cells").iterdir()))
    page.wait_for_selector("figcaption:has-text('dish05.png')")
    page.wait_for_timeout(800)
    shoot(page, folder / "count.png")
    page.goto(f"{base}/search")
    page.fill("input[aria-label='Calls of the reference method']", "40")
    page.wait_for_timeout(800)
    page.click("text=Start the search")
    page.wait_for_url("**/search?run=*")
    page.wait_for_selector(".state.finished")
    page.wait_for_timeout(2500)
    shoot(page, folder / "search.png")


def shoot(page, path, **options):
    """Write what is seen, with few colours, which a page has."""
    image = Image.open(BytesIO(page.screenshot(**options))).convert("RGB")
    image.quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, f"{os.path.getsize(path) / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "ui")
