"""The examples of the user guide run, and print what the pages say they print."""

import doctest
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
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
@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.rst")), ids=lambda page: page.stem)
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
