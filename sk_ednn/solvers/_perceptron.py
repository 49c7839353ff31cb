"""Training of scikit-learn's perceptron on sums.

`MLPRegressor` does not accept a loss of sums, so its training loops are reimplemented here. Its
hyperparameters have their documented meaning, and weights and batches are drawn in the same way:
with one tile per sample the result equals that of ``MLPRegressor.fit``.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils import check_random_state, gen_batches, shuffle

from .._utils.stacklevel import outside_package
from .._utils.steps import dense
from ..exceptions import TileModelError
from ..networks import Standardization, TileSums
from ..networks._standardize import standardization_of
from ..tile_models._tile_model import TileModel
from ._base import last_step
from ._divergence import warn_above_mean
from ._features import TileFeatures
from ._problem import SumProblem

_ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


def fit_perceptron(problem: SumProblem, scale, share, random_state, standardize=True) -> TileModel:
    """Fit a term that ends in an `MLPRegressor`; see `GradientSolver`.

    Parameters
    ----------
    problem : SumProblem
        With one term.
    scale : ndarray of shape (n_outputs,)
        Unit of the perceptron's output.
    share : float
        Ratio of that unit to the unit of totals in the loss.
    random_state : RandomState
        Used if the `random_state` of the perceptron is None.
    standardize : bool, default=True
        Train on standardised tiles, unless the perceptron is behind transformers. Mean and scale
        are then folded into the weights and intercepts of its first layer.
    """
    (term,) = problem.terms
    features = TileFeatures(term, problem.systems)
    model: MLPRegressor = features.final
    model._validate_params()
    tiles = term.tiling.tiles(problem.systems).unique()[0]
    n_samples = len(problem.y)
    size = min(200, n_samples) if model.batch_size == "auto" else int(model.batch_size)
    if not 1 <= size <= n_samples:
        warnings.warn(
            f"batch_size={size} is clipped to the {n_samples} samples.",
            stacklevel=outside_package(),
        )
        size = int(np.clip(size, 1, n_samples))
    if model.solver == "lbfgs":
        size = n_samples

    inputs = None
    if standardize and not features.steps:
        inputs = _feature_standardization(problem, term)

    def prepare(array):
        rows = dense(features(array))
        return torch.tensor(rows if inputs is None else inputs(rows), dtype=torch.float64)

    sums = TileSums(
        tiles, prepare, problem.y / scale * share, problem.sample_weight, size, torch.float64
    )
    rng = random_state if model.random_state is None else check_random_state(model.random_state)
    n_features = prepare(tiles.array(np.arange(1))).shape[1]
    start = None if problem.start is None else last_step(problem.start[0].estimator)
    training = _Training(model, sums, n_features, problem.n_outputs, share, rng, start, inputs)
    if model.solver == "lbfgs":
        training.lbfgs()
    else:
        try:
            training.stochastic(size)
        except KeyboardInterrupt:  # the best parameters so far are kept
            if training.best_parameters is None:
                raise
            warnings.warn("Training interrupted by user.", stacklevel=outside_package())
        else:
            if not model.early_stopping:
                training.best_parameters = None
    training.store(n_features)
    training.warn_of_divergence()
    return problem.tile_model(term, features.assemble(model), scale=scale)


def _feature_standardization(problem, term) -> Standardization | None:
    """Return the standardisation of flat tiles, with a mean and a scale for each feature."""
    of_channels = standardization_of(term.tiling, problem.systems, problem.sample_weight)
    if of_channels is None:
        return None
    repeats = int(np.prod(problem.tile_shape(term))) // len(of_channels.mean)
    return Standardization(
        np.tile(of_channels.mean, repeats), np.tile(of_channels.scale, repeats)
    )  # the channels of a tile are its last axis


class _Training:
    """The weights of a perceptron in training, and the training loops."""

    def __init__(
        self, model, sums, n_features, n_outputs, share, random_state, start, standardization=None
    ):
        self.standardization = standardization
        self.model, self.sums, self.random_state = model, sums, random_state
        self.n_outputs, self.share = n_outputs, share
        # Those of the best epoch, on held-out samples if there are any.
        self.best_parameters = None
        self.poisson = getattr(model, "loss", "squared_error") == "poisson"
        hidden_sizes = np.atleast_1d(model.hidden_layer_sizes).astype(int).tolist()
        self.units = [n_features, *hidden_sizes, n_outputs]
        self.n_layers = len(self.units) - 1
        weights = self._initial() if start is None else self._from_fitted(start)
        self.parameters = [torch.tensor(w, dtype=torch.float64) for w in weights]
        for parameter in self.parameters:
            parameter.requires_grad_(True)

    def _from_fitted(self, start):
        """Return the weights of a fitted perceptron, converted to standardised tiles."""
        weights = [*start.coefs_, *start.intercepts_]
        if self.standardization is not None:
            mean, scale = self.standardization.mean, self.standardization.scale
            first, intercept = weights[0], weights[self.n_layers]
            weights[0], weights[self.n_layers] = scale[:, None] * first, intercept + mean @ first
        return weights

    def _initial(self):
        """Draw weights uniformly, as in Glorot and Bengio (2010)."""
        factor = 2.0 if self.model.activation == "logistic" else 6.0
        coefs, intercepts = [], []
        for fan_in, fan_out in zip(self.units[:-1], self.units[1:], strict=True):
            bound = np.sqrt(factor / (fan_in + fan_out))
            coefs.append(self.random_state.uniform(-bound, bound, (fan_in, fan_out)))
            intercepts.append(self.random_state.uniform(-bound, bound, fan_out))
        return [*coefs, *intercepts]

    def totals(self, batch):
        x = batch.tiles
        activation = _ACTIVATIONS[self.model.activation]
        for layer in range(self.n_layers):
            x = x @ self.parameters[layer] + self.parameters[self.n_layers + layer]
            if layer < self.n_layers - 1:
                x = activation(x)
        return self.share * batch.total(torch.exp(x) if self.poisson else x)

    def loss(self, samples):
        """Return the penalised loss of some samples, defined as in scikit-learn."""
        batch, y = self.sums[samples]
        predicted = self.totals(batch)
        if self.poisson:
            losses = torch.xlogy(y, y / predicted) - y + predicted
        else:
            losses = 0.5 * (predicted - y) ** 2
        losses = losses.mean(dim=1, keepdim=True)
        if batch.weights is None:
            loss, n = losses.mean(), float(len(batch))
        else:
            n = batch.weights.sum()
            loss = (losses * batch.weights).sum() / n
        squares = sum((w**2).sum() for w in self.parameters[: self.n_layers])
        return loss + 0.5 * self.model.alpha * squares / n

    def _gradients(self, samples):
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.loss(samples)
        if not torch.isfinite(loss):
            raise TileModelError(
                f"The loss of MLPRegressor became {loss.item()}. Lower learning_rate_init, or add "
                "a scaler before it."
            )
        loss.backward()
        return loss.item()

    def lbfgs(self):
        all_samples = np.arange(len(self.sums))
        sizes = [p.numel() for p in self.parameters]

        def evaluate(packed):
            self._unpack(packed, sizes)
            loss = self._gradients(all_samples)
            return loss, np.concatenate([p.grad.numpy().ravel() for p in self.parameters])

        start = np.concatenate([p.detach().numpy().ravel() for p in self.parameters])
        result = minimize(
            evaluate,
            start,
            method="L-BFGS-B",
            jac=True,
            options={
                "maxfun": self.model.max_fun,
                "maxiter": self.model.max_iter,
                "gtol": self.model.tol,
            },
        )
        if result.status != 0:
            warnings.warn(
                f"lbfgs did not converge: {result.message}", ConvergenceWarning, outside_package()
            )
        self._unpack(result.x, sizes)
        self.model.n_iter_, self.model.loss_ = result.nit, result.fun

    def _unpack(self, packed, sizes):
        with torch.no_grad():
            parts = np.split(packed, np.cumsum(sizes)[:-1])
            for parameter, values in zip(self.parameters, parts, strict=True):
                parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))

    def stochastic(self, batch_size):
        model = self.model
        train, held_out = np.arange(len(self.sums)), None
        if model.early_stopping:
            train, held_out = train_test_split(
                train, random_state=self.random_state, test_size=model.validation_fraction
            )
            if len(held_out) < 2:
                raise TileModelError(
                    "early_stopping needs at least two held-out samples. Raise "
                    f"validation_fraction={model.validation_fraction}, or pass more samples."
                )
        # scikit-learn's optimizers update the memory of the tensors in place.
        arrays = [p.detach().numpy() for p in self.parameters]
        optimizer = self._optimizer(arrays)
        order = np.arange(len(train))
        model.loss_curve_, model.validation_scores_ = [], [] if model.early_stopping else None
        best, n_worse, n_seen = np.inf, 0, 0
        for epoch in range(1, model.max_iter + 1):
            if model.shuffle:
                order = shuffle(order, random_state=self.random_state)
            loss = 0.0
            for batch in gen_batches(len(train), min(batch_size, len(train))):
                samples = train[order[batch]]
                loss += self._gradients(samples) * len(samples)
                optimizer.update_params(arrays, [p.grad.numpy() for p in self.parameters])
            n_seen += len(train)
            model.n_iter_, model.loss_ = epoch, loss / len(train)
            model.loss_curve_.append(model.loss_)
            if model.verbose:
                print(f"Iteration {epoch}, loss = {model.loss_:.8f}")

            if model.early_stopping:
                model.validation_scores_.append(self._score(held_out))
                current = -model.validation_scores_[-1]
            else:
                current = model.loss_
            n_worse = n_worse + 1 if current > best - model.tol else 0
            if current < best:
                best = current
                self.best_parameters = [p.detach().clone() for p in self.parameters]
            optimizer.iteration_ends(n_seen)
            if n_worse > model.n_iter_no_change:
                message = f"No improvement by tol={model.tol} in {model.n_iter_no_change} epochs."
                if optimizer.trigger_stopping(message, model.verbose):
                    break
                n_worse = 0
        else:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=outside_package(),
            )
        model.best_loss_ = None if model.early_stopping else best
        model.best_validation_score_ = -best if model.early_stopping else None

    def _optimizer(self, arrays):
        model = self.model
        if model.solver == "sgd":
            return SGDOptimizer(
                arrays,
                model.learning_rate_init,
                model.learning_rate,
                model.momentum,
                model.nesterovs_momentum,
                model.power_t,
            )
        return AdamOptimizer(
            arrays, model.learning_rate_init, model.beta_1, model.beta_2, model.epsilon
        )

    def _score(self, samples):
        batch, y = self.sums[samples]
        with torch.no_grad():
            predicted = self.totals(batch).numpy()
        weights = None if batch.weights is None else batch.weights.numpy()[:, 0]
        return r2_score(y.numpy(), predicted, sample_weight=weights)

    def warn_of_divergence(self):
        """Warn if the final loss is much larger than that of predicting the mean of the totals."""
        if self.poisson:
            return
        y, weights = self.sums.y, self.sums.weights
        weights = torch.ones(len(y), 1, dtype=y.dtype) if weights is None else weights
        mean = (weights * y).sum(dim=0) / weights.sum()
        squares = (weights * (y - mean) ** 2).sum(dim=0) / weights.sum()
        of_mean = 0.5 * float(squares.mean())
        name, lr = type(self.model).__name__, self.model.learning_rate_init
        warn_above_mean(self.model.loss_, of_mean, 0.0, name, lr)

    def store(self, n_features):
        """Set the fitted attributes of the estimator."""
        model = self.model
        best = self.parameters if self.best_parameters is None else self.best_parameters
        arrays = [p.detach().numpy().copy() for p in best]
        if self.standardization is not None:
            # (x - mean) / scale @ W + b is x @ (W / scale) + (b - mean @ (W / scale)).
            arrays[0] = arrays[0] / self.standardization.scale[:, None]
            arrays[self.n_layers] = arrays[self.n_layers] - self.standardization.mean @ arrays[0]
        model.coefs_, model.intercepts_ = arrays[: self.n_layers], arrays[self.n_layers :]
        model.n_layers_, model.n_outputs_ = len(self.units), self.n_outputs
        model.out_activation_ = "exp" if self.poisson else "identity"
        model.n_features_in_ = n_features
        model.t_ = model.n_iter_ * len(self.sums)
