"""The page on the structure of the package describes the package as it is."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/development/structure.rst"
DRAWING = ROOT / "docs/_static/make_structure_figures.py"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("make_structure_figures", DRAWING)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_file_that_the_page_names_is_there():
    names = re.findall(r"``([a-z_/]+\.py)``", PAGE.read_text(encoding="utf-8"))
    assert len(names) >= 20
    assert [name for name in names if not (ROOT / "sk_ednn" / name).is_file()] == []


def test_all_imports_point_down(drawing):
    imports = drawing.imports_of(ROOT / "sk_ednn")
    layers = drawing.layers_of(imports)
    up = [(a, b) for a in imports for b in imports[a] if layers[b] >= layers[a]]
    assert up == []


def test_the_picture_has_a_box_for_each_package(drawing):
    picture = (ROOT / "docs/_static/structure.svg").read_text(encoding="utf-8")
    boxes = set(re.findall(r">(\w+)</text>", picture))
    assert boxes == set(drawing.imports_of(ROOT / "sk_ednn"))


def test_an_import_that_points_up_closes_a_cycle(drawing, tmp_path):
    for name, text in {"a": "from . import b", "b": "from .a import x", "c": "import os"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    imports = drawing.imports_of(tmp_path)
    assert imports == {"a": {"b"}, "b": {"a"}, "c": set()}
    assert drawing.layers_of(imports) == {"a": 0, "b": 0, "c": 0}
