"""For the doctests of sk_ednn/ as well as for tests/: threads, and libraries that are not there."""

import importlib
import importlib.util
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

# Read by numpy and torch when they are imported, which nothing above does: sums over threads are
# then grouped the same way on every machine.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "agg")

# Library: the words which show that a file or an example needs it.
OPTIONAL = {
    "torch": r"torch|skorch|sk_ednn\.networks",
    "skorch": r"skorch",
    "dask": r"dask",
    "distributed": r"distributed",
    "ase": r"ase",
    "ase_ga": r"ase_ga|sk_ednn\.search import .*StructureSearch",
    "vesin": r"vesin|sk_ednn\.search|sk_ednn\.(?:structures import .*neighbor_pairs|descriptors)",
    "sphericart": r"sphericart|sk_ednn\.search|sk_ednn\.descriptors",
    "matplotlib": r"matplotlib|sk_ednn\.inspection import fit_report",
    "typer": r"typer|sk_ednn\.cli",
    "rich": r"rich",
    "h5py": r"h5py",
    "zarr": r"zarr",
    "skops": r"skops|sk_ednn\.files",
    "onnxruntime": r"onnxruntime",
    "nicegui": r"nicegui|sk_ednn\.ui",
}
MISSING = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
NEEDS_MISSING = re.compile(
    rf"^\s*(?:import|from)\s+(?:{'|'.join(OPTIONAL[name] for name in MISSING)})\b", re.MULTILINE
)
NUMPY = int(version("numpy").partition(".")[0])
PACKAGE = Path(__file__).parent / "sk_ednn"


def pytest_configure(config):
    # A module that cannot be imported is an error where everything is installed.
    if MISSING:
        config.option.doctest_ignore_import_errors = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from _skipped_where_missing())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from _skipped_where_missing())


def _skipped_where_missing():
    """Skip a test that fails because a library is not there; where all are, it fails."""
    try:
        return (yield)
    except ImportError as error:
        if not MISSING or type(error).__name__ != "MissingExtraError":
            raise
        pytest.skip(str(error))


def pytest_report_header():
    return f"not installed: {', '.join(MISSING)}" if MISSING else None


def pytest_ignore_collect(collection_path):
    """Leave out the doctests of modules that cannot be imported with what is installed."""
    if not MISSING or collection_path.suffix != ".py" or PACKAGE not in collection_path.parents:
        return None
    parts = collection_path.relative_to(PACKAGE.parent).with_suffix("").parts
    try:
        # Left to pytest, one that fails would be loaded again, with all that it imports.
        importlib.import_module(".".join(part for part in parts if part != "__init__"))
    except ImportError:
        return True
    return None


def pytest_collection_modifyitems(items):
    """Skip the doctests that cannot come out right with what is installed."""
    for item in items:
        if not isinstance(item, pytest.DoctestItem):
            continue
        if NUMPY < 2:
            item.add_marker(pytest.mark.skip(reason="numpy 1 prints scalars in another way"))
        elif MISSING and any(NEEDS_MISSING.search(e.source) for e in item.dtest.examples):
            item.add_marker(pytest.mark.skip(reason=f"not installed: one of {MISSING}"))
