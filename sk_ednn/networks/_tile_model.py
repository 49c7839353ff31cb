"""A fitted network as a tile model."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .._utils.steps import dense, front_and_last, transformed
from .._utils.stored import stored
from ..exceptions import TileModelError
from ..fields._channels import from_channels_first
from ..fields._in_memory import as_array
from ..tile_models._base import AbstractTileModel, checked_outputs, flat
from ._convolutional import DenseForm, NotConvolutional, as_convolution
from ._field_sums import field_input, on_device
from ._layout import laid_out, lay_out
from ._over_fields import SumOverTiles
from ._standardize import Standardization
from ._sum import network_input
from ._trial import explained

# Numbers in a batch of tiles, chosen so that most layer outputs fit in the processor's caches.
_BATCH_NUMBERS = 1 << 18


@stored("NetworkTileModel")
@dataclass(frozen=True, eq=False)
class NetworkTileModel(AbstractTileModel):
    """A fitted skorch net applied to tiles.

    Attributes
    ----------
    positive : bool, default=False
        Whether a softplus is applied to the network's output, so that contributions are positive.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the network.
    standardization : Standardization or None, default=None
        Standardisation of the network's input. None for unscaled tiles.
    """

    positive: bool = False
    precision: str = "float32"
    standardization: Standardization | None = None

    def _outputs(self, tiles) -> np.ndarray:
        steps, net = front_and_last(self.estimator)
        if steps:
            inputs = torch.tensor(dense(transformed(steps, flat(tiles))), dtype=self._torch_dtype)
        else:
            inputs = self._inputs(tiles)
        parts = []
        for x in self._batches(inputs):
            with self._autocast(), explained(x):
                out = net.evaluation_step((x, None), training=False)
            out = out[0] if isinstance(out, tuple) else out
            parts.append(self._finish(out).cpu().numpy())
        return checked_outputs(np.concatenate(parts), len(tiles), self.n_outputs, net)

    def input_gradient(self, tiles, output=0) -> np.ndarray:
        """Return the gradient of each contribution with respect to its tile.

        Parameters
        ----------
        tiles : ndarray of shape (n_tiles, *tile_shape)
        output : int, default=0
            Index of the output to differentiate.

        Returns
        -------
        ndarray of shape (n_tiles, *tile_shape), float64
            In units of y per unit of the field, without the baseline, which is linear.

        Raises
        ------
        TileModelError
            If the network is behind transformers.
        """
        scale = float(np.broadcast_to(self.scale, (self.n_outputs,))[output])
        parts = []
        for x in self._batches(self._inputs(tiles)):
            x = x.to(self.estimator.device).requires_grad_(True)
            with explained(x):
                with self._autocast():
                    out = self._module(x)
                out = self._finish(out).reshape(len(x), -1)[:, output]
                (gradient,) = torch.autograd.grad(out.sum(), x)
            parts.append(gradient.cpu().numpy())
        gradient = np.concatenate(parts).astype(np.float64) * scale
        if self.standardization is not None:
            gradient = self.standardization.pull(gradient)
        if self.has_channels is None:
            return gradient
        return np.moveaxis(gradient, 1, -1) if self.has_channels else gradient[:, 0]

    @property
    def has_embedding(self) -> bool:
        """True if the network sees tiles directly rather than through transformers."""
        return not hasattr(self.estimator, "steps")

    has_input_gradient = has_embedding

    def embedding(self, tiles) -> np.ndarray:
        """Return the input of the network's last layer with weights.

        Parameters
        ----------
        tiles : ndarray of shape (n_tiles, *tile_shape)

        Returns
        -------
        ndarray of shape (n_tiles, n_features), float32

        Raises
        ------
        TileModelError
            If the network is behind transformers.
        """
        module, layer_inputs = self._eval_module(), []
        layers = [
            m for m in module.modules() if next(m.parameters(recurse=False), None) is not None
        ]
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: layer_inputs.append(inputs[0]))
            for layer in layers
        ]
        parts = []
        try:
            with torch.no_grad():
                for x in self._batches(self._inputs(tiles)):
                    layer_inputs.clear()
                    module(x.to(self.estimator.device))
                    parts.append(layer_inputs[-1].reshape(len(x), -1).cpu().numpy())
        finally:
            for hook in hooks:
                hook.remove()
        return np.concatenate(parts)

    def _module(self, x):
        return self._eval_module()(x)

    def _eval_module(self):
        if not self.has_embedding:
            raise TileModelError(
                "Gradients and embeddings need a network that sees the tiles, but here it is "
                "behind transformers. Make the transformations part of the network."
            )
        return self.estimator.module_.eval()

    def _inputs(self, tiles) -> torch.Tensor:
        return network_input(
            as_array(tiles, "tiles"), self.has_channels, self._torch_dtype, self.standardization
        )

    def _batches(self, inputs):
        """Yield the network's input in batches, most of which fit in the processor's caches."""
        if "laid out" not in self._cache:
            self._cache["laid out"] = lay_out(self._net.module_, inputs.shape[1:])
        n_batch = int(np.clip(_BATCH_NUMBERS // inputs[0].numel(), 16, 8192))
        for start in range(0, len(inputs), n_batch):
            x = inputs[start : start + n_batch]
            yield laid_out(x) if self._cache["laid out"] else x

    @property
    def _torch_dtype(self):
        return torch.float64 if self.precision == "float64" else torch.float32

    def _autocast(self):
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(torch.device(self._net.device).type, dtype=torch.bfloat16)

    @property
    def _net(self):
        return front_and_last(self.estimator)[1]

    def _finish(self, out):
        out = out.float() if self.precision == "bfloat16" else out
        return torch.nn.functional.softplus(out) if self.positive else out

    def has_dense_form(self, tiling) -> bool:
        """Return True if the network has an exact dense form; see `dense_form`."""
        if not tiling.is_grid:
            return False
        try:
            self.dense_form(tiling)
        except NotConvolutional:
            return False
        return True

    def dense_form(self, tiling) -> DenseForm:
        """Return the dense form of the network, after a trial that it agrees with the tiled form.

        Parameters
        ----------
        tiling : GridTiling
            The tiling of the fit.

        Raises
        ------
        NotConvolutional
            If there is none; the message names the layer.
        """
        if "dense" not in self._cache:
            try:
                self._cache["dense"] = self._as_convolution(tiling)
            except NotConvolutional as error:
                # Only the message is cached, because an exception would accumulate tracebacks.
                self._cache["dense"] = str(error)
        dense = self._cache["dense"]
        if isinstance(dense, str):
            raise NotConvolutional(dense)
        return dense

    def dense_predict(self, padded, tiling) -> np.ndarray:
        """Return the contributions of all tiles of padded fields, without the baseline.

        Parameters
        ----------
        padded : ndarray of shape (n_samples, *padded[, n_channels])
            Fields with their context; see `GridTiling.padded`.
        tiling : GridTiling

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        dense = self.dense_form(tiling)
        x = self._inputs(padded)
        dense.module.eval()
        with torch.no_grad(), self._autocast(), explained(x):
            out = dense(laid_out(x.to(self.estimator.device)))
        out = self._finish(out).cpu().numpy()
        out = np.moveaxis(out, 1, -1).reshape(-1, self.n_outputs)
        return checked_outputs(out, len(out), self.n_outputs, self.estimator) * self.scale

    def gradient(self, tiling, fields) -> list[np.ndarray]:
        """Return the gradient of each total with respect to its field.

        Parameters
        ----------
        tiling : GridTiling
        fields : Fields

        Returns
        -------
        list of ndarray of shape (n, *field_shape), float64
            One for each stack, including the baseline.
        """
        if not self.has_embedding:
            raise TileModelError(
                "The transformers before the network cannot be differentiated. Make the "
                "transformations part of the network."
            )
        if not tiling.is_grid:
            return super().gradient(tiling, fields)
        axis = tiling.channel_axis
        parts = []
        for stack in fields.stacks:
            gradients = np.zeros(stack.values.shape)
            if self.baseline is not None:
                gradients += self.baseline.gradient(tiling, stack.values.shape[1:])
            for k, values in enumerate(stack.values):
                gradient = self._network_total_and_gradient(tiling, values)[1].numpy()
                gradients[k] += from_channels_first(gradient, axis)
            parts.append(gradients)
        return parts

    def total_and_gradient(self, tiling, values, gradient=True):
        """Return the total of one field and its gradient, in one pass and with few checks.

        For simulations, which evaluate many fields of the same shape.

        Parameters
        ----------
        tiling : GridTiling
        values : ndarray of shape field_shape
            A field that suits the tiling.
        gradient : bool, default=True
            Whether to compute the gradient. The total does not depend on it.

        Returns
        -------
        total : float
        gradient : ndarray of shape field_shape, float64, or None
        """
        total, of_network = self._network_total_and_gradient(tiling, values, gradient)
        shape, of_baseline = values.shape, 0.0
        if self.baseline is not None:
            # The baseline is affine in the field, with a constant proportional to the size.
            key = ("baseline", shape)
            if key not in self._cache:
                self._cache[key] = self.baseline.gradient(tiling, shape)
            of_baseline = self._cache[key]
            total += float(self.baseline.coefficients[0, 0]) * self._n_focus_sites(tiling, shape)
            # Not a BLAS product, whose threads spin for a while afterwards and would slow down
            # those of the network by a factor of two.
            total += float((of_baseline * values).sum())
        if not np.isfinite(total):
            raise TileModelError(
                f"The network returned {total} for a field of shape {shape}. Check its training "
                "and the field."
            )
        if of_network is None:
            return total, None
        return total, from_channels_first(of_network.numpy(), tiling.channel_axis) + of_baseline

    def _n_focus_sites(self, tiling, shape) -> int:
        """Return the number of sites of all foci of a field."""
        n_sites = int(np.prod(tiling.focus_shape(self.tile_shape)))
        return n_sites * int(np.prod(tiling.tile_grid(shape)))

    def _network_total_and_gradient(self, tiling, values, gradient=True):
        """Return the total and its gradient (n_channels, *grid) without the baseline."""
        module = self.estimator.module_.eval()
        if "sums" not in self._cache:
            self._cache["sums"] = SumOverTiles(
                module, tiling, self.tile_shape, standardization=self.standardization
            )
        network, scale = self._cache["sums"], float(np.ravel(self.scale)[0])
        exact = self._torch_dtype if self.standardization is None else torch.float64
        leaf = field_input(values[None], tiling.channel_axis, exact)
        leaf = on_device(leaf, self.estimator.device).requires_grad_(gradient)
        with torch.set_grad_enabled(gradient), self._autocast(), explained(leaf):
            # Contributions are in the precision of the network, their sum is in float64.
            total = network(leaf, finish=lambda out: self._finish(out).double()).sum()
        if not gradient:
            return float(total) * scale, None
        with explained(leaf):
            (of_field,) = torch.autograd.grad(total, leaf)
        return float(total.detach()) * scale, of_field[0].double().cpu() * scale

    def with_precision(self, precision) -> NetworkTileModel:
        """Return a copy of the network with weights in "float32" or "float64"."""
        if not self.has_embedding:
            raise TileModelError(
                "The precision of a network behind transformers cannot be changed. Fit with "
                "GradientSolver(precision=...) instead."
            )
        net = deepcopy(self.estimator)
        net.module_.to(torch.float64 if precision == "float64" else torch.float32)
        return replace(self, estimator=net, precision=precision)

    def _as_convolution(self, tiling) -> DenseForm:
        if not self.has_embedding:
            raise NotConvolutional("The transformers before the network need separate tiles.")
        module = self.estimator.module_
        training = module.training
        try:
            return as_convolution(module.eval(), tiling, self.tile_shape)
        finally:
            module.train(training)

    def _content(self) -> dict:
        # Only the module of the net, because predictions do not depend on history and optimizer.
        content = self.__getstate__()
        steps, net = front_and_last(content.pop("estimator"))
        layers = {
            name: {k: v for k, v in layer.__dict__.items() if k not in ("training", "_modules")}
            for name, layer in net.module_.named_modules()
        }
        return {**content, "steps": steps, "module": str(net.module_), "layers": layers}

    @cached_property
    def _cache(self) -> dict:
        return {}

    def __getstate__(self):
        """Return the state without the cache."""
        return {name: value for name, value in self.__dict__.items() if name != "_cache"}

    def __setstate__(self, state):
        """Restore the state."""
        self.__dict__.update(state)
