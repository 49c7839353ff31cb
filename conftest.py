"""For the doctests of sk_ednn/ as well as for tests/: threads, and libraries that are not there."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

# Read by numpy and torch when they are imported, which nothing above does: sums over threads are
# then grouped the same way on every machine.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
os.environ.setdefault("MPLBACKEND", "agg")

# Library: the words which show that a file or an example needs it.
OPTIONAL = {
    "torch": r"torch|skorch|sk_ednn\.networks",
    "skorch": r"skorch",
    "dask": r"dask",
    "distributed": r"distributed",
    "ase": r"ase",
    "matplotlib": r"matplotlib",
    "typer": r"typer|sk_ednn\.cli",
    "rich": r"rich",
    "h5py": r"h5py",
    "zarr": r"zarr",
}
MISSING = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
NEEDS_MISSING = re.compile(
    rf"^\s*(?:import|from)\s+(?:{'|'.join(OPTIONAL[name] for name in MISSING)})\b", re.MULTILINE
)
PACKAGE = Path(__file__).parent / "sk_ednn"


def pytest_configure(config):
    # A module that cannot be imported is an error where everything is installed.
    if MISSING:
        config.option.doctest_ignore_import_errors = True


def pytest_report_header():
    return f"not installed: {', '.join(MISSING)}" if MISSING else None


def pytest_ignore_collect(collection_path):
    """Leave out the doctests of modules that import a library which is not installed."""
    if not MISSING or collection_path.suffix != ".py" or PACKAGE not in collection_path.parents:
        return None
    return True if NEEDS_MISSING.search(collection_path.read_text(encoding="utf-8")) else None


def pytest_collection_modifyitems(items):
    """Skip the doctests whose examples import such a library."""
    if not MISSING:
        return
    for item in items:
        if isinstance(item, pytest.DoctestItem) and any(
            NEEDS_MISSING.search(example.source) for example in item.dtest.examples
        ):
            item.add_marker(pytest.mark.skip(reason=f"not installed: one of {MISSING}"))
