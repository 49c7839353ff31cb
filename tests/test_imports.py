"""Imports of the package load no optional library, and public names are documented."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sk_ednn"
OPTIONAL = ("torch", "skorch", "dask", "distributed", "ase", "matplotlib", "pandas", "nicegui")


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PUBLIC_PACKAGES = [
    name
    for name, path in MODULES.items()
    if path.name == "__init__.py"
    and not any(part.startswith("_") for part in name.split("."))
    and name != "sk_ednn.cli"  # a command, no API
]


# ------------------------------------------------------------------------- what is brought along


@pytest.mark.parametrize("statement", ["import sk_ednn", "from sk_ednn import *"])
def test_import_leaves_optional_libraries_out(statement):
    # scikit-learn itself imports pandas where it is installed: only what we add counts.
    code = f"""if True:
        import sys, joblib, scipy.sparse, sklearn.base, sklearn.utils.validation
        before = set(sys.modules)
        exec({statement!r})
        print(*sorted((set(sys.modules) - before) & set({OPTIONAL})))"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_nothing_is_drawn_or_tabulated_at_import(trees):
    """matplotlib and pandas are imported by the function that needs them, in every module."""
    loaded = {
        name: {imported.partition(".")[0] for imported in imports_on_loading(tree)}
        for name, tree in trees.items()
    }
    assert [name for name, some in loaded.items() if some & {"matplotlib", "pandas"}] == []


# -------------------------------------------------------------------------------- public names


@pytest.mark.parametrize("name", PUBLIC_PACKAGES)
def test_public_names_resolve_and_are_documented(name):
    package = load(importlib.import_module, name)
    assert package.__doc__, f"{name} has no docstring"
    assert len(set(package.__all__)) == len(package.__all__)
    for public in package.__all__:
        value = load(getattr, package, public)
        if callable(value):
            assert value.__doc__, f"{name}.{public} has no docstring"


def test_every_name_that_the_package_lists_is_there():
    code = "import sk_ednn; print(*(getattr(sk_ednn, name) for name in dir(sk_ednn)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ----------------------------------------------------------- nothing imports from sk_ednn/__init__


def test_no_module_imports_from_the_top(trees):
    """A module that does so cannot be read, or loaded, without all the others."""
    found = {
        name: imports_from_the_top(tree, name, is_package=MODULES[name].name == "__init__.py")
        for name, tree in trees.items()
        if name != "sk_ednn"
    }
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import sk_ednn", ["sk_ednn"]),
        ("def f():\n    from sk_ednn import EDNNRegressor", ["EDNNRegressor"]),
        ("from .. import EDNNRegressor", ["EDNNRegressor"]),
        ("from ..exceptions import TilingError", []),
        ("from .. import exceptions", []),
        ("from . import EDNNRegressor", []),
        ("import numpy", []),
    ],
)
def test_imports_from_the_top_are_found(code, found):
    assert imports_from_the_top(ast.parse(code), "sk_ednn.tiling._grid") == found


# ------------------------------------------------------------------------------------- helpers


def load(function, *args):
    """Call what imports a module; skip the test where that takes a library we have not got."""
    try:
        return function(*args)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.fixture(scope="module")
def trees():
    """Parse each module once, for tests of all of them: a test for each would be a thousand."""
    return {name: parse(path) for name, path in MODULES.items()}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_from_the_top(tree, name, is_package=False):
    """Names that a module takes from `sk_ednn/__init__`; submodules found through it are fine."""
    results = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            results += [a.name for a in node.names if a.name.partition(".")[0] == "sk_ednn"]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                source = ".".join(parts + ([node.module] if node.module else []))
            if source == "sk_ednn":
                results += [a.name for a in node.names if f"sk_ednn.{a.name}" not in MODULES]
    return results


def imports_on_loading(node):
    """Names of the modules that are imported when the module is: not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield "" if child.level else child.module
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_on_loading(child)
