"""Benchmarks and examples import only what exists; they take too long to be run here."""

import ast
import importlib
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="benchmarks are not installed")


def bound(tree):
    """Return the names that a module binds at its top level."""
    names = set()
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.alias):
                names.add(node.asname or node.name.partition(".")[0])
    return names


def missing(path):
    """Return what a script imports, or uses of a module beside it, that is not there."""
    tree, lacking = ast.parse(path.read_text(encoding="utf-8")), []
    beside = {other.stem: other for other in path.parent.glob("*.py") if other != path}
    names = {
        stem: bound(ast.parse(other.read_text(encoding="utf-8"))) for stem, other in beside.items()
    }
    nodes = list(ast.walk(tree))
    imported = {
        each.name for node in nodes if isinstance(node, ast.Import) for each in node.names
    } & names.keys()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module in names:
            here, has = node.module, names[node.module].__contains__
            lacking += [f"{here}.{each.name}" for each in node.names if not has(each.name)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sk_ednn"):
            here, has = node.module, partial(has_name, pytest.importorskip(node.module))
            lacking += [f"{here}.{each.name}" for each in node.names if not has(each.name)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = node.value.id
            if module in imported and node.attr not in names[module]:
                lacking.append(f"{module}.{node.attr}")
    return lacking


def has_name(package, name):
    if hasattr(package, name):
        return True
    try:
        importlib.import_module(f"{package.__name__}.{name}")
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_exists(path):
    assert missing(path) == []


def test_a_name_that_was_moved_is_noticed(tmp_path):
    (tmp_path / "one.py").write_text("from sk_ednn import EDNNRegressor, Gone\nKEPT = 1\n")
    (tmp_path / "two.py").write_text("import one\nfrom one import KEPT, LOST\none.also_lost\n")
    assert missing(tmp_path / "one.py") == ["sk_ednn.Gone"]
    assert missing(tmp_path / "two.py") == ["one.LOST", "one.also_lost"]
