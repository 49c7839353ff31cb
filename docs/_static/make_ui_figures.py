"""Make the screenshots of the guide: ``make_ui_figures.py [folder] [page ...]``.

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
WAIT = 1_200_000


def main(folder, names):
    """Write the screenshots of some pages into a folder."""
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
                page.goto(address)  # with the token, of which a cookie is made
                for name in names:
                    PAGES[name](page, address.partition("/?")[0], data, folder)
                browser.close()
        finally:
            server.terminate()


def draw_fit(page, base, data, folder):
    """Choose a file of fields, and fit a model."""
    page.goto(f"{base}/")
    page.click("button:has-text('spins.npz')")
    page.wait_for_selector("img[alt='Focus and context over a sample']")
    page.wait_for_selector("[data-model=auto] .when:text-matches('second|minute')")
    page.wait_for_timeout(1500)
    # Without the command, which would show a temporary folder.
    shoot(page, folder / "start.png", before="4 · Start")
    page.click("[data-model=dense]")
    page.click("text=Start the fit")
    page.wait_for_url("**/runs/2*")
    page.wait_for_selector(".state.finished")
    page.wait_for_selector("h2:has-text('Predicted and true totals')")
    page.wait_for_timeout(1500)
    shoot(page, folder / "run.png")


def draw_count(page, base, data, folder):
    """Learn from pictures, and count in some of them."""
    page.goto(f"{base}/count")
    choose(page, sorted((data / "cells").iterdir()))
    page.wait_for_selector("figcaption:has-text('dish05.png')")
    page.wait_for_selector("text=/^Learned as counts/")
    page.wait_for_selector("text=/^The networks see/")  # and how long it takes
    page.click(".q-item:has-text('More settings')")
    page.wait_for_timeout(800)
    shoot(page, folder / "count.png", before="3 · Start")
    page.click("text=A first look")
    page.click("text=Start to learn")
    page.wait_for_url("**/runs/2*")
    page.click("text=Count with it")
    page.wait_for_url("**/count?model=*")
    choose(page, sorted((data / "cells").glob("dish0[0-5].png")), last=True)
    page.wait_for_selector("text=6 pictures: uploads")
    page.click("button.q-btn:enabled >> text=/^Count$/")
    page.wait_for_selector("img[alt^='dish05: ']")
    page.wait_for_timeout(1500)
    shoot(page, folder / "counted.png", before="Files")


def choose(page, files, last=False):
    """Give files to the first list of files, or the last one."""
    button = page.locator(".q-uploader__header .q-btn:visible")
    with page.expect_file_chooser() as chooser:
        (button.last if last else button.first).click()
    chooser.value.set_files(files)


def draw_search(page, base, data, folder):
    """Search for structures."""
    page.goto(f"{base}/search")
    page.fill("input[aria-label='Calls of the reference method']", "40")
    page.wait_for_timeout(800)
    page.click("text=Start the search")
    page.wait_for_url("**/search?run=*")
    page.wait_for_selector(".state.finished")
    page.wait_for_timeout(2500)
    shoot(page, folder / "search.png")


PAGES = {"fit": draw_fit, "count": draw_count, "search": draw_search}


def shoot(page, path, before=None):
    """Write what is seen, or all before a panel, with few colours, which a page has."""
    options = {}
    if before is not None:
        page.evaluate("window.scrollTo(0, 0)")  # positions are those in the window
        end = page.locator(f"h2:has-text('{before}')").bounding_box()["y"] - 25
        clip = {"x": 0, "y": 0, "width": 1100, "height": end}
        options = {"full_page": True, "clip": clip}
    image = Image.open(BytesIO(page.screenshot(**options))).convert("RGB")
    image.quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, f"{os.path.getsize(path) / 1000:.0f} kB")


if __name__ == "__main__":
    goal, *chosen = sys.argv[1:] or [Path(__file__).parent / "ui"]
    main(Path(goal), chosen or list(PAGES))
