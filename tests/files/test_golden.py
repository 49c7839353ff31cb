"""Files of earlier versions are read, and predict as before."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skops")
pytest.importorskip("skorch")

from sk_ednn.files import describe, load

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.ednn"))


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("made_golden", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_all_of_them(made):
    names = {path.stem.partition(", ")[2] for path in FILES}
    assert names == {*made.MODELS, *made.ATOMS, *made.BAGS, *made.CRYSTALS}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_predictions_are_those_of_then(path, made):
    schema, _, name = path.stem.partition(", ")
    predictions = path.with_suffix(".npy")
    expected = np.load(predictions if predictions.exists() else FOLDER / f"{schema}.npz")
    expected = expected if predictions.exists() else expected[name]
    given, _ = made.data(name)
    model = load(path, modules=[made.Golden])
    # To rounding: another processor, or version of a library, sums up in another order.
    np.testing.assert_allclose(model.predict(given), expected, rtol=1e-5, atol=1e-7)
    assert describe(path)["schema"] == int(schema.removeprefix("schema "))
