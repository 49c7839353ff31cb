"""The examples of the user guide run, and print what the pages say they print."""

import doctest
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [*DOCS.glob("guide/*.rst"), *DOCS.glob("start/*.rst"), DOCS / "index.rst"]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(autouse=True)
def one_thread():
    """Take one thread: several take many times as long where other programs use the cores."""
    torch = sys.modules.get("torch")
    n_threads = torch and torch.get_num_threads()
    with threadpool_limits(1):
        yield
    if torch:
        torch.set_num_threads(n_threads)


@pytest.mark.skipif(np.__version__ < "2", reason="numpy 1 prints scalars in another way")
@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(DOCS)))
def test_page(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    if ">>>" not in text:
        pytest.skip("no examples")
    for module in (
        "torch", "skorch", "typer", "dask.array", "dask.distributed", "zarr", "sk_ednn.files",
    ):  # fmt: skip
        if module in text:
            pytest.importorskip("skops" if module == "sk_ednn.files" else module)
    if "from ase" in text:
        pytest.importorskip("ase")
    if "StructureSearch" in text:
        pytest.importorskip("ase_ga")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert failed == 0


def test_quoted_messages_exist():
    """Find each message that the page on troubleshooting quotes in the package."""
    package = DOCS.parent / "sk_ednn"
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings over several lines
    page = (DOCS / "guide" / "troubleshooting.rst").read_text(encoding="utf-8")
    quoted = re.findall(r"^   \* - ``(.*)``$", page, re.MULTILINE)
    assert len(quoted) > 10
    for message in quoted:
        for part in re.split(r"\.\.\.|\d+", message):
            assert part.strip(" ,=") in source, message
