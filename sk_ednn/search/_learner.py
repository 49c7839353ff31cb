"""The surrogate of a search: when and to what it is fitted again, and its predictions."""

from __future__ import annotations

import pickle
from copy import copy

import numpy as np
from sklearn.base import clone

from ._linear_committee import LinearCommittee
from ._progress import energy_per_atom
from ._selection import Thresholds

# Times the doubtful spread: an error after which the next fit does not wait for more labels.
_SURPRISE = 10


class Learner:
    """The surrogate in use, and the decision when to replace it.

    Parameters
    ----------
    search : StructureSearch

    Attributes
    ----------
    surrogate : AbstractSurrogate or None
        None before the first fit.
    pickled : bytes or None
        The same, as tasks receive it.
    limits : Thresholds
        From errors of the labels that were held out.
    model : int
        Number of the surrogate in the file of the search.
    """

    def __init__(self, search):
        self.template = search.surrogate or LinearCommittee()
        self.n_initial, self.retrain_every = search.n_initial, search.retrain_every
        self.loss_weights = search.loss_weights
        self.surrogate, self.pickled = None, None
        self.limits, self.model = Thresholds(0.0, np.inf), 0
        self._n_learned, self._surprised, self._residuals = 0, False, {}

    @property
    def fewest_labels(self) -> int:
        """Labels without which no surrogate is fitted."""
        return max(2 * self.template.n_members, self.n_initial // 2)

    def is_due(self, progress, labels_are_running) -> bool:
        """Return True if a new fit is worth it."""
        n_labels = len(progress.labelled())
        if n_labels < self.fewest_labels:
            return False
        if self._n_learned:
            return self._surprised or n_labels - self._n_learned >= self.retrain_every
        begun = progress.n_asked - len(progress.waiting) >= self.n_initial
        # The first one does not wait for the slowest of the first labels.
        return begun and (not labels_are_running or 4 * n_labels >= 3 * self.n_initial)

    def training(self, progress, seed) -> tuple:
        """Return what a fit needs: a surrogate, structures, labels, weights and their numbers.

        The surrogate is unfitted, or the one in use if it continues its training.
        """
        rows = progress.labelled()
        self._n_learned, self._surprised = len(rows), False
        continues = (
            self.surrogate is not None and getattr(self.template, "retrain", None) is not None
        )
        surrogate = copy(self.surrogate) if continues else clone(self.template)
        surrogate.set_params(random_state=seed % (1 << 31))
        structures, labels = [r["structure"] for r in rows], [r["label"] for r in rows]
        numbers = [r["id"] for r in rows]
        return surrogate, structures, labels, self._weights(progress, rows), numbers

    def _weights(self, progress, rows) -> np.ndarray:
        """Return weights that fall with the energy: structures far above the best count less."""
        above = np.array(
            [energy_per_atom(row) - progress.reference_energy(row["structure"]) for row in rows]
        )
        above -= above.min()
        middle = np.median(above)
        weights = 1.0 / (1.0 + above / middle) ** 2 if middle > 0 else np.ones(len(rows))
        if self.loss_weights is not None and self._residuals:
            weights *= self.loss_weights([self._residuals.get(r["id"], np.nan) for r in rows])
        return weights / weights.mean()

    def replace(self, surrogate, numbers, store):
        """Use a surrogate that was fitted to the structures of these numbers."""
        self.surrogate, self.pickled = surrogate, pickle.dumps(surrogate)
        self._residuals = dict(zip(numbers, surrogate.errors_.tolist(), strict=True))
        self.limits = Thresholds.of(surrogate.errors_)
        quantiles = np.quantile(surrogate.errors_, [0.1, 0.5, 0.9]).tolist()
        self.model = store.add_model(len(numbers), quantiles)

    def predict_again(self, candidates):
        """Predict candidates of earlier surrogates by the one in use."""
        if not candidates:
            return
        energies, stds = self.surrogate.predict([c.structure for c in candidates])
        for candidate, energy, std in zip(candidates, energies, stds, strict=True):
            candidate.energy, candidate.std = float(energy), float(std)
            candidate.model = self.model

    def compare(self, row):
        """Compare a new label with the prediction for which its structure was chosen."""
        predicted = row.get("predicted")
        if predicted is not None and np.isfinite(self.limits.doubtful):
            error = abs(predicted - row["label"].energy) / len(row["structure"].numbers)
            self._surprised |= error > _SURPRISE * self.limits.doubtful
