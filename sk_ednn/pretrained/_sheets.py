"""The network of the bundled sheets."""

from __future__ import annotations

from importlib.resources import as_file, files

from .._utils.optional import needing
from ..files import load

_FILES = {"potential": "sheets_potential.ednn", "image": "sheets.ednn"}


def load_sheets_model(kind="potential"):
    """Load a network that predicts the energies of sheets of carbon, boron and nitrogen.

    Both were trained on the energies and forces of 4,175 of the sheets of
    `sk_ednn.datasets.load_sheets`; the 480 others are
    ``np.random.default_rng(0).permutation(4655)[:480]``. The training data contain flat periodic
    sheets near equilibrium with a few vacancies, and nothing else.

    Parameters
    ----------
    kind : {"potential", "image"}, default="potential"
        "potential": a network of atoms with an intensive context, trained for ten minutes by
        ``benchmarks/sheets_potential.py``; on the 480 others its mean errors are 0.34 meV/Å²
        (median 0.11) and 63 meV/Å. "image": the method of Mills et al., a network on images of the
        atoms, trained by ``benchmarks/sheets_network.py``. Each script prints the errors.

    Returns
    -------
    EDNNPotential or Pipeline
        Structures in, energies in eV out. Of "image" a Pipeline of a `GaussianRasterizer` and an
        `EDNNRegressor`, for cells that are a whole number of pixels of 12.5 / 64 by 13 / 64 Å.

    Raises
    ------
    MissingExtraError
        If torch or skorch are not installed.

    Examples
    --------
    >>> from sk_ednn.datasets import load_sheets
    >>> from sk_ednn.pretrained import load_sheets_model
    >>> large = load_sheets(cells="large")  # cells 2 to 4 times larger than any seen
    >>> area = large.cells[:, :2].prod(axis=1)
    >>> for kind in ("potential", "image"):
    ...     off = abs(load_sheets_model(kind).predict(large.structures) - large.energies) / area
    ...     print(f"{1e3 * off.mean():.1f} meV/Å²")
    0.6 meV/Å²
    2.3 meV/Å²
    """
    if kind not in _FILES:
        raise ValueError(f"kind must be one of {', '.join(_FILES)}; got {kind!r}.")
    with needing("A pretrained network"):
        import skorch  # noqa: F401
        import torch  # noqa: F401
    with as_file(files(__package__) / "data" / _FILES[kind]) as path:
        return load(path)
