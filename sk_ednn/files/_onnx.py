"""Export networks to ONNX."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from .._utils.optional import needing
from .._utils.wording import with_article
from .._utils.writing import replacing_path
from ..estimators._unwrap import term_of
from ..exceptions import TileModelError
from ..networks import NetworkTileModel
from ..networks._trial import reads_labels

FORMS = ("tile", "dense")
# Tolerance between ONNX Runtime and torch, relative to the largest contribution: generous for the
# round-off of float32 sums in another order.
_TOLERANCE = 1e-4


def export_onnx(model, path, form="tile", *, term=None) -> None:
    """Write the network of a fitted model as an ONNX file, for programs without Python.

    The graph maps fields in their units to contributions in units of y. It includes
    standardisation, scale, softplus and baseline. The program that runs it cuts, pads and sums.
    There are two forms:

    "tile"
        From ``tiles`` of shape (n, n_channels or 1, *window) to ``contributions`` of shape (n,
        n_outputs), for any n.
    "dense"
        From ``fields`` of shape (n, n_channels or 1, *padded) to ``contributions`` of shape (n,
        n_outputs, *tile_grid), for any n and any number of tiles. Each axis of the fields, padded
        according to the boundary, has ``n_tiles * focus + 2 * context`` sites. The network must
        have a dense form (see `sk_ednn.networks.as_convolution`).

    Parameters
    ----------
    model : fitted EDNNRegressor
        The tile model must be a torch network.
    path : str or Path
    form : {"tile", "dense"}, default="tile"
    term : str, default=None
        Which term, if the model has several.

    Raises
    ------
    TileModelError
        If the tile model is not a torch network, if ONNX does not support it, or if the results of
        ONNX Runtime differ.
    NotConvolutional
        If the network has no dense form; the message names the layer.
    MissingExtraError
        If onnx, onnxscript or onnxruntime are not installed.

    Notes
    -----
    Before the file is moved to `path`, ONNX Runtime runs it on random tiles, of numbers other than
    those of the trace, and its contributions are compared with those of torch. Models with the
    precision bfloat16 are exported in float32.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from torch import nn
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.files import export_onnx
    >>> from sk_ednn.solvers import GradientSolver
    >>> fields = np.random.default_rng(0).normal(size=(20, 8, 8)).astype("float32")
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.SiLU(), nn.Linear(8, 1))
    >>> model = EDNNRegressor(net, GridTiling(1, 1), solver=GradientSolver(max_epochs=1))
    >>> model = model.fit(fields, (fields**2).sum(axis=(1, 2)))
    >>> path = Path(tempfile.mkdtemp()) / "tile.onnx"
    >>> export_onnx(model, path)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(path)
    >>> tiles = model.tiling_.transform(fields).reshape(-1, 1, 3, 3)
    >>> (contributions,) = session.run(None, {"tiles": tiles})
    >>> totals = contributions.reshape(20, 64).sum(axis=1)
    >>> bool(np.abs(totals - model.predict(fields)).max() < 1e-3)
    True
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    runtime = _runtime()
    tile_model, tiling = _network_of(model, term)
    traced = _Contributions(tile_model, tiling, form).eval()
    with replacing_path(path) as temporary:
        _export(traced, temporary)
        _compare(runtime, temporary, traced)


class _Contributions(nn.Module):
    """The exported module: the network with its scale and baseline, in one of the two forms."""

    def __init__(self, tile_model, tiling, form):
        super().__init__()
        self.focus = tiling.focus_shape(tile_model.tile_shape)
        self.form, self.ndim = form, len(self.focus)
        module = tile_model.estimator.module_
        self.network = module if form == "tile" else tile_model.dense_form(tiling)
        self.positive = tile_model.positive
        dtype = np.float64 if tile_model.precision == "float64" else np.float32
        self.dtype = torch.from_numpy(np.empty(0, dtype)).dtype
        shape = (-1, *[1] * self.ndim) if form == "dense" else (-1,)
        outputs = np.broadcast_to(tile_model.scale, (tile_model.n_outputs,)).astype(dtype)
        self.register_buffer("scale", torch.from_numpy(outputs).reshape(shape))
        self.sites = tiling.focus_sites(tile_model.tile_shape)
        self.window = tile_model.tile_shape[: self.ndim]
        self.n_channels = tile_model.tile_shape[-1] if tile_model.has_channels else 1
        baseline = tile_model.baseline
        self.content, constant = False, np.zeros(tile_model.n_outputs)
        if baseline is not None:
            constant = baseline.coefficients[0] * np.prod(self.focus)
            self.content = baseline.kind == "content"
        self.standardization = tile_model.standardization
        self.labels = False
        if self.standardization is None:
            tiles = torch.zeros(1, self.n_channels, *self.window, dtype=self.dtype)
            device = tile_model.estimator.device
            self.labels = reads_labels(module, module, tiles.to(device))
        self.register_buffer("constant", torch.from_numpy(constant.astype(dtype)).reshape(shape))
        if self.content:
            per_channel = torch.from_numpy(baseline.coefficients[1:].T.astype(dtype))
            # The content of each focus, as a convolution with the stride of the tiles.
            kernel = per_channel.reshape(*per_channel.shape, *[1] * self.ndim)
            kernel = kernel.expand(*per_channel.shape, *self.focus).contiguous()
            self.register_buffer("kernel", kernel)

    def forward(self, x):
        """Return contributions of tiles (n, n_channels, *window), or of padded fields."""
        inputs = x
        if self.standardization is not None:
            inputs = self.standardization(x.double()).to(self.dtype)
        out = self.network(inputs)
        out = nn.functional.softplus(out) if self.positive else out
        out = out * self.scale + self.constant
        if not self.content:
            return out
        inner = x
        for axis, (site, length) in enumerate(zip(self.sites, self.window, strict=True), start=2):
            after = length - site.stop
            inner = inner.narrow(axis, site.start, inner.shape[axis] - site.start - after)
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[self.ndim - 1]
        content = convolve(inner, self.kernel, stride=self.focus)
        return out + (content if self.form == "dense" else content.flatten(1))

    def probe(self, n, n_tiles):
        """Return random inputs of `n` samples, with `n_tiles` along each axis."""
        generator = torch.Generator().manual_seed(0)
        lengths = self.window
        if self.form == "dense":
            lengths = [w + (k - 1) * f for w, f, k in zip(self.window, self.focus, n_tiles)]  # noqa: B905
        shape = n, self.n_channels, *lengths
        if self.labels:  # every network of labels accepts 0 and 1
            return torch.randint(2, shape, generator=generator).to(self.dtype)
        drawn = torch.randn(shape, generator=generator, dtype=self.dtype)
        return drawn if self.standardization is None else self.standardization.inverse(drawn)

    @property
    def names(self):
        """Names of the input and the output."""
        return ("tiles" if self.form == "tile" else "fields"), "contributions"


def _export(traced, path):
    several = [3, 4, 5][: traced.ndim]
    dynamic = {0: torch.export.Dim.DYNAMIC}
    if traced.form == "dense":
        dynamic |= {axis: torch.export.Dim.DYNAMIC for axis in range(2, 2 + traced.ndim)}
    input_name, output_name = traced.names
    try:
        with _quietly():
            torch.onnx.export(
                traced,
                (traced.probe(3, several),),
                path,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_shapes=(dynamic,),
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    except OSError:  # an error of the file, not of the network
        raise
    except Exception as error:  # torch's exporter raises errors of many classes
        raise TileModelError(
            f"This network cannot be exported to ONNX: {str(error).strip().splitlines()[0]}"
        ) from error


def _compare(runtime, path, traced):
    """Raise if the results of ONNX Runtime differ from torch, for sizes that were not traced."""
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n, n_tiles in ((1, (2, 3, 1)), (4, (5, 2, 3))):
        x = traced.probe(n, n_tiles)
        with torch.no_grad():
            expected = traced(x).numpy()
        (contributions,) = session.run(None, {traced.names[0]: x.numpy()})
        same_shape = contributions.shape == expected.shape
        error = np.abs(contributions - expected).max() if same_shape else np.inf
        if not error <= _TOLERANCE * max(np.abs(expected).max(), 1e-30):
            raise TileModelError(
                f"ONNX Runtime returns contributions of shape {contributions.shape} with an error "
                f"of {error} compared to torch, whose shape is {expected.shape}. The network uses "
                "something that torch's exporter does not support, such as a branch on a shape."
            )


def _network_of(model, term):
    if not hasattr(model, "tile_model_"):
        raise TileModelError(
            f"export_onnx needs a fitted EDNNRegressor, got {type(model).__name__}. If it is in a "
            "Pipeline, pass model[-1]."
        )
    tile_model, tiling = term_of(model, term)
    if not isinstance(tile_model, NetworkTileModel) or not tile_model.has_embedding:
        raise TileModelError(
            "export_onnx needs a torch network without transformers before it; the tile model is "
            f"{with_article(type(tile_model.estimator).__name__)}."
        )
    return tile_model, tiling


def _runtime():
    with needing("export_onnx"):
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    return onnxruntime


@contextmanager
def _quietly():
    """Suppress warnings and progress messages of the exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
