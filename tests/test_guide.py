"""The examples of the user guide run, and print what the pages say they print."""

import doctest
import warnings
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("page", [p for p in sorted(GUIDE.glob("*.rst"))], ids=lambda p: p.stem)
def test_page(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    if ">>>" not in text:
        pytest.skip("no examples")
    for module in ("torch", "skorch", "typer"):
        if module in text:
            pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert failed == 0
