"""The network of the bundled sheets."""

from __future__ import annotations

import json
from importlib.resources import as_file, files

import numpy as np
from sklearn.pipeline import make_pipeline

from .._baseline import Baseline
from .._regressor import EDNNRegressor
from ..atoms import GaussianRasterizer, Structure
from ..exceptions import MissingExtraError
from ..tiling import GridTiling

_FILE = "sheets.safetensors"


def load_sheets_model():
    """Load a network that predicts the energies of sheets of carbon, boron and nitrogen.

    Trained on the energies and forces of 4,175 of the sheets of `sk_ednn.datasets.load_sheets`, by
    ``benchmarks/sheets_network.py``, which says how and how large its errors are; the 480 others
    are ``np.random.default_rng(0).permutation(4655)[:480]``. It knows flat periodic sheets at about
    their equilibrium with a few vacancies, and nothing else.

    Returns
    -------
    Pipeline
        Of a `GaussianRasterizer` and an `EDNNRegressor`: structures in, energies in eV out. Cells
        are a whole number of pixels of 12.5 / 64 by 13 / 64 Å.

    Raises
    ------
    MissingExtraError
        Where torch, skorch or safetensors are not installed.

    Examples
    --------
    >>> from sk_ednn.datasets import load_sheets
    >>> from sk_ednn.pretrained import load_sheets_model
    >>> model, large = load_sheets_model(), load_sheets(cells="large")
    >>> area = large.cells[:, :2].prod(axis=1)
    >>> off = abs(model.predict(large.structures) - large.energies) / area
    >>> print(f"{1e3 * off.mean():.1f} meV/Å²")  # of cells 2 to 4 times larger than any seen
    2.2 meV/Å²
    """
    try:
        import torch  # noqa: F401
        from safetensors import safe_open
    except ImportError as error:
        raise MissingExtraError(
            f"{error.name} is not installed, which pretrained networks need: pip install "
            "'sk-ednn[torch]'."
        ) from error
    with as_file(files(__package__) / "data" / _FILE) as path, safe_open(path, "pt") as stored:
        about = json.loads(stored.metadata()["sk_ednn"])
        weights = {name: stored.get_tensor(name) for name in stored.keys()}
    baseline, scale = weights.pop("baseline").numpy(), weights.pop("scale").numpy()
    ones = dict.fromkeys(about["species"], 1.0)
    draw = GaussianRasterizer(
        tuple(about["spacing"]), about["width"], weights=ones, channels=tuple(ones)
    )
    # Its species are given: what it is fitted to only has to be a structure.
    draw.fit([Structure([6], [[0.0, 0.0]], [64 * s for s in about["spacing"]])])
    tiling = GridTiling(about["focus"], about["context"], channel_axis=-1)
    return make_pipeline(draw, _fitted(about["settings"], weights, tiling, baseline, scale))


def _fitted(settings, weights, tiling, coefficients, scale) -> EDNNRegressor:
    from skorch import NeuralNetRegressor

    from ..networks import NetworkTileModel, ValidCNN
    from ..summing import GradientSumFit

    window = (tiling.focus + 2 * tiling.context,) * 2
    tile_shape = (*window, 3)
    sites = tiling.focus_sites(tile_shape)
    net = NeuralNetRegressor(
        ValidCNN,
        **{f"module__{name}": value for name, value in settings.items()},
        module__tile_shape=window,
        module__focus=(tiling.focus,) * 2,
        module__n_channels=3,
        train_split=None,
        verbose=0,
    ).initialize()
    net.module_.load_state_dict(weights)
    tile_model = NetworkTileModel(
        estimator=net,
        tile_shape=tile_shape,
        n_outputs=1,
        has_channels=True,
        scale=np.asarray(scale, dtype=np.float64),
        baseline=Baseline(coefficients, sites, "content", len(tile_shape)),
    )
    model = EDNNRegressor(net, tiling, summing=GradientSumFit(), baseline="content")
    return model._of_parts([tile_model], [tiling], y_ndim=1, field_ndim=3)
