"""One network in training: its contributions, and the average of its weights."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from ._batches import collated, turned
from ._edges import LEAST_BOX, balanced_edges, bands_of, inner_ranges, reflected
from ._geometry import BANDS, CONTEXT, FOCUS
from ._network import NORMS, remove_level
from ._views import views

# The average of weights goes back so many steps at most.
_MEMORY_STEPS = 100
# Boxes of so many tiles along each axis show how much tiles near edges have too much.
_WIDE_BOX = 24

# Layers of a network that samples do not go through: they are averaged and not flattened.
_LEFT_OUT = (nn.AvgPool2d, nn.AvgPool3d, nn.Flatten)


class Member:
    """A network in training: forward, loss, step, average of weights."""

    def __init__(self, module, scale, spread, positive, half, contrast_only=False):
        self.positive, self.half, self.frozen = positive, half, False
        self.contrast_only = contrast_only
        self.flat = any(isinstance(layer, nn.Conv2d) for layer in module)
        self.module = self._laid_out(module)
        self.module.register_parameter("edges", nn.Parameter(torch.zeros(BANDS)))
        self.average = copy.deepcopy(self.module).eval()
        self.scale = torch.as_tensor(scale, dtype=torch.float32)
        self.spread = torch.as_tensor(spread, dtype=torch.float32)

    def _laid_out(self, x):
        if isinstance(x, nn.Module):
            return x.to(memory_format=torch.channels_last) if self.flat else x
        return x.contiguous(memory_format=torch.channels_last) if self.flat else x.contiguous()

    def totals(self, module, values, weights, bands):
        """Return the totals (n, n_outputs) of fields (n, n_channels, *padded)."""
        return self.contributions(module, values, weights, bands).flatten(2).sum(2)

    def contributions(self, module, values, weights, bands):
        """Return what each tile adds to the totals, (n, n_outputs, *tile_grid)."""
        factors = torch.cat([1 + module.edges, module.edges.new_ones(1)])
        weights = weights * torch.outer(factors, factors).ravel()[bands]
        *body, head = [layer for layer in module if not isinstance(layer, _LEFT_OUT)]
        out = self._laid_out(values)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half and module.training):
            for layer in body:
                out = layer(out)
        # Contributions are small numbers, many of which are added up.
        out = head(out.float())
        out = nn.functional.softplus(out) if self.positive else out
        scale = self.scale.reshape(-1, *(1,) * (values.ndim - 2))
        return out * weights * scale

    def predict(self, samples, n_views=1) -> np.ndarray:
        """Return the totals by the averaged weights, one row a sample."""
        rows = []
        with torch.no_grad():
            for each in samples:
                parts = collated([each])
                of_views = [
                    self.totals(self.average, *turned(parts, turns, [-2] if is_flipped else []))
                    for turns, is_flipped in views(n_views)
                ]
                rows.append(torch.stack(of_views).mean(0))
        return torch.cat(rows).double().numpy() if rows else np.zeros((0, len(self.scale)))

    def project(self):
        """Remove the response to the level of the pixels that a step has added."""
        if self.contrast_only:
            remove_level(next(layer for layer in self.module if not isinstance(layer, _LEFT_OUT)))

    def remember(self, step):
        """Move the averaged weights towards the present ones."""
        share = 1 - min(1 - 1 / _MEMORY_STEPS, (1 + step) / (10 + step))
        with torch.no_grad():
            present = dict(self.module.named_parameters())
            for name, mean in self.average.named_parameters():
                mean.lerp_(present[name], share)

    def settle(self, batches):
        """Compute the statistics of normalisations for the averaged weights.

        Averages of statistics are not those of averaged weights, as long as these change fast.
        """
        if not self.frozen:
            self._measure(self.average, batches)
        self.average.eval()

    def freeze(self, batches):
        """Measure the statistics of normalisations, and keep them from now on."""
        self._measure(self.module, batches)
        kept = dict(self.average.named_buffers())
        for name, value in self.module.named_buffers():
            kept[name].copy_(value)
        self._keep_statistics()

    def state(self) -> dict:
        """Return what a checkpoint contains of the network."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "frozen": self.frozen,
        }

    def restore(self, state):
        """Continue with the state of a checkpoint."""
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        if state["frozen"]:
            self._keep_statistics()

    def _keep_statistics(self):
        self.frozen = True
        for layer in self.module:
            if isinstance(layer, NORMS):
                layer.eval()

    def balance(self, samples):
        """Weight tiles near edges so that boxes with mirror images around have their true totals.

        Totals of small pictures do not tell how much tiles near an edge have too much, and others
        too little, which large pictures show.
        """
        if not self.positive:
            return
        seen, true = np.zeros((2, (BANDS + 1) ** 2))
        scale = torch.as_tensor(self.scale)
        with torch.no_grad():
            for sample in samples:
                values, weights, bands = collated([sample])
                inner = inner_ranges(weights[0, 0], bands[0, 0])
                side = min(_WIDE_BOX, *(stop - start for start, stop in inner))
                if side < LEAST_BOX:
                    continue
                inside = self.contributions(self.average, values, weights, bands)[0]
                i, j = (start + (stop - start - side) // 2 for start, stop in inner)
                rows, columns = (slice(FOCUS * m, FOCUS * (m + side)) for m in (i, j))
                window = values[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT][0, ..., rows, columns]
                pairs = bands_of(side)
                plain = torch.full((1, *weights.shape[1:-2], side, side), (BANDS + 1) ** 2 - 1)
                ones = torch.ones(plain.shape)
                alone = self.contributions(self.average, reflected(window), ones, plain)[0]
                for sums, one in ((seen, alone), (true, inside[..., i : i + side, j : j + side])):
                    one = one / scale.reshape(-1, *(1,) * (one.ndim - 1))
                    np.add.at(sums, pairs.ravel(), one.flatten(0, -3).sum(0).ravel().double())
        if true.all():
            square = (BANDS + 1,) * 2
            edges = balanced_edges(seen.reshape(square), true.reshape(square))
            with torch.no_grad():
                self.average.edges.copy_(torch.from_numpy(edges))

    def match(self, samples, n_views=1):
        """Scale contributions that are not negative so that the totals of samples add up.

        Low precision, changes of light and averages of weights leave a bias, which errors of single
        pictures hide and large pictures show.
        """
        if not self.positive:
            return
        true = torch.stack([each.totals for each in samples]).numpy()
        is_known = np.isfinite(true)
        predicted = np.where(is_known, self.predict(samples, n_views), 0.0).sum(axis=0)
        total = np.where(is_known, true, 0.0).sum(axis=0)
        fine = (predicted > 0) & (total > 0)
        ratio = np.where(fine, total / np.where(fine, predicted, 1.0), 1.0)
        self.scale = self.scale * torch.as_tensor(ratio, dtype=torch.float32)

    def _measure(self, module, batches):
        for layer in module:
            if isinstance(layer, NORMS):
                layer.reset_running_stats()
                layer.momentum = None  # all batches count alike
        module.train()
        with torch.no_grad():
            for batch in batches:
                self.totals(module, *collated(batch))
