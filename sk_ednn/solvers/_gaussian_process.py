"""Gaussian processes of sums: the unmodified regressor with a kernel between systems.

If contributions are a Gaussian process with kernel k, totals are one with kernel ``S k S'``. With
that kernel, `GaussianProcessRegressor` optimises the hyperparameters of k on the totals, with its
optimiser, restarts and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    Exponentiation,
    Kernel,
    Product,
    Sum,
    WhiteKernel,
)

from .._utils.memory import require_memory
from .._utils.steps import dense, front_and_last, transformed
from .._utils.stored import stored
from .._utils.threads import threads_for
from ..exceptions import TileModelError
from ..tile_models._base import AbstractTileModel, flat
from ..tile_models._kernel_gradients import kernel_gradient
from ..tile_models._tile_model import gradients_of_rows, outputs_of_rows
from ._base import AbstractSolver, last_step
from ._kernel import SummedTiles, blocks_of
from ._problem import SumProblem


@stored("GaussianProcessSolver", former=("GaussianProcessSumFit",))
class GaussianProcessSolver(AbstractSolver):
    """Fit a Gaussian process to totals; ``predict(..., return_std=True)`` works for any size.

    The `GaussianProcessRegressor` is used unmodified. Its `kernel` acts between tiles. Its `alpha`,
    and a `WhiteKernel` that is a term of the kernel, are noise of the *totals*. `normalize_y`
    divides the totals by their spread; their mean is left to the baseline, because a constant per
    sample is not extensive. A sample weight divides the noise of its sample.

    Parameters
    ----------
    max_bytes : int or None, default=None
        Maximum memory. None for three quarters of the free memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> rng = np.random.default_rng(0)
    >>> waves = rng.normal(size=(60, 8))
    >>> process = GaussianProcessRegressor(RBF(1.0), alpha=1e-6)
    >>> model = EDNNRegressor(process, GridTiling(focus=1, context=0))
    >>> model = model.fit(waves, np.sin(waves).sum(axis=1))
    >>> totals, std = model.predict(np.hstack([waves, waves])[:, :8], return_std=True)
    >>> bool(model.tile_model_.estimator.kernel_.length_scale > 1.0)  # fitted to totals only
    True
    """

    def __init__(self, max_bytes=None):
        self.max_bytes = max_bytes

    def suits(self, terms) -> bool:
        """Return True for one term that ends in a `GaussianProcessRegressor`."""
        return len(terms) == 1 and isinstance(
            last_step(terms[0].tile_model), GaussianProcessRegressor
        )

    def fit(self, problem: SumProblem):
        """Fit the term; see `AbstractSolver.fit`."""
        self._require_suited(problem.terms)
        (term,) = problem.terms
        n = len(problem.y)
        require_memory(
            4.0 * 8 * n * n,
            f"A Gaussian process of {n} samples",
            "Fit fewer samples, or use KernelRidge or a linear model on Nystroem features.",
            self.max_bytes,
        )
        tiles = SummedTiles(term, problem, self.max_bytes)
        regressor = tiles.features.final
        kernel = regressor.kernel
        if kernel is None:  # scikit-learn's default
            kernel = ConstantKernel(1.0, "fixed") * RBF(1.0, "fixed")
        _require_additive_noise(kernel)
        spread = np.ones(problem.n_outputs)
        if regressor.normalize_y:
            spread = problem.y.std(axis=0)
            spread[spread == 0] = 1.0
        weight = np.ones(n) if problem.sample_weight is None else problem.sample_weight
        process = clone(regressor).set_params(
            kernel=SummedKernel(kernel, _Systems(tiles, weight)),
            alpha=regressor.alpha / weight,
            normalize_y=False,
        )
        y = problem.y / spread
        with threads_for(n, n):
            process.fit(np.arange(n, dtype=float)[:, None], y[:, 0] if y.shape[1] == 1 else y)
        fitted = SummedGaussianProcess(regressor)
        fitted.process_ = process
        fitted.kernel_ = process.kernel_.kernel
        fitted.X_train_ = tiles.rows
        fitted.sum_matrix_ = tiles.sum_matrix
        fitted.alpha_ = tiles.sum_matrix.T @ process.alpha_.reshape(n, -1)
        fitted.log_marginal_likelihood_value_ = process.log_marginal_likelihood_value_
        fitted.n_features_in_ = tiles.rows.shape[1]
        estimator = tiles.features.assemble(fitted)
        return [problem.tile_model(term, estimator, scale=spread, kind=GaussianTileModel)]


@stored("SummedGaussianProcess")
class SummedGaussianProcess(RegressorMixin, BaseEstimator):
    """A Gaussian process of contributions, conditioned on totals.

    Parameters
    ----------
    regressor : GaussianProcessRegressor
        The unfitted regressor of the user.

    Attributes
    ----------
    process_ : GaussianProcessRegressor
        Fitted to the totals.
    kernel_ : Kernel
        Kernel between tiles, with fitted hyperparameters.
    X_train_ : ndarray of shape (n_distinct, n_features)
        Distinct training tiles.
    sum_matrix_ : csr_array of shape (n_samples, n_distinct)
        Number of times each training sample contains each of them.
    alpha_ : ndarray of shape (n_distinct, n_outputs)
        Dual coefficients of the tiles.
    log_marginal_likelihood_value_ : float
    """

    def __init__(self, regressor=None):
        self.regressor = regressor

    def fit(self, X, y):
        """Raise, because only `GaussianProcessSolver` fits it. Pipelines require the method."""
        raise TileModelError(
            "A SummedGaussianProcess cannot be fitted to tiles, whose contributions are not known. "
            "Fit an EDNNRegressor."
        )

    def predict(self, X):
        """Return the mean contributions of tiles, given as rows of features."""
        mean = between(self.kernel_, dense(X), self.X_train_) @ self.alpha_
        return mean[:, 0] if mean.shape[1] == 1 else mean

    def prediction_gradient(self, X):
        """Return the gradient of the first mean contribution, of the shape of X."""
        return kernel_gradient(self.kernel_, dense(X), self.X_train_, self.alpha_[:, 0][None])

    def covariance_with_totals(self, X):
        """Return the prior covariance of contributions with the training totals, (n, n_samples)."""
        return self.sum_matrix_ @ between(self.kernel_, self.X_train_, X)

    def explained(self, covariance):
        """Return the reduction of variances by the training totals, from covariances with them."""
        solved = solve_triangular(self.process_.L_, covariance, lower=True, check_finite=False)
        return np.einsum("ij,ij->j", solved, solved)


@stored("GaussianTileModel")
@dataclass(frozen=True, eq=False)
class GaussianTileModel(AbstractTileModel):
    """A Gaussian process of contributions, with the standard deviation of totals."""

    has_std = True

    def _outputs(self, tiles) -> np.ndarray:
        return outputs_of_rows(self, tiles)

    def _input_gradients(self, tiles) -> np.ndarray:
        return gradients_of_rows(self, tiles)

    def total_std(self, tiling, fields, block_rows=1024) -> np.ndarray:
        """Return the standard deviation of totals, including their noise.

        Parameters
        ----------
        tiling : AbstractTiling
        fields : Systems
        block_rows : int, default=1024
            Rows of kernel matrices that are computed at a time.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)

        Notes
        -----
        Contributions of a system are correlated: the variance of its total is the sum of the
        kernel over all pairs of its distinct tiles. Time grows with the square of their number.
        """
        steps, process = front_and_last(self.estimator)
        prior = np.empty(fields.n_samples)
        covariance = np.empty((len(process.process_.L_), fields.n_samples))
        for sample in range(fields.n_samples):
            tiles = tiling.tiles(fields.take([sample])).unique()[0]
            rows = dense(transformed(steps, flat(tiles.array())))
            counts = tiles.sum_matrix.toarray()[0]
            prior[sample] = _quadratic_form(process.kernel_, rows, counts, block_rows)
            covariance[:, sample] = sum(
                process.covariance_with_totals(rows[part]) @ counts[part]
                for part in blocks_of(len(rows), block_rows)
            )
        variance = prior + noise_of(process.kernel_) - process.explained(covariance)
        std = np.sqrt(np.maximum(variance, 0.0))
        return std[:, None] * np.broadcast_to(self.scale, (self.n_outputs,))


def _quadratic_form(kernel, rows, counts, block_rows) -> float:
    total, blocks = 0.0, blocks_of(len(rows), block_rows)
    for i, left in enumerate(blocks):
        for right in blocks[i:]:
            part = counts[left] @ between(kernel, rows[left], rows[right]) @ counts[right]
            total += part if left == right else 2 * part
    return total


# --- the kernel between systems --------------------------------------------------------------


@stored("_Systems")
@dataclass(frozen=True, eq=False)
class _Systems:
    """The training data of a `SummedKernel`, shared by its clones and never copied."""

    tiles: SummedTiles
    sample_weight: np.ndarray

    def __deepcopy__(self, memo):
        return self


@stored("SummedKernel")
class SummedKernel(Kernel):
    """The kernel between training systems, ``S k S'``, with k the kernel between tiles.

    The hyperparameters are those of `kernel`. The regressor passes it indices of samples as
    features.

    Parameters
    ----------
    kernel : Kernel
        Kernel between tiles.
    systems : _Systems
    """

    def __init__(self, kernel, systems):
        self.kernel = kernel
        self.systems = systems

    def get_params(self, deep=True):
        """Return the parameters, with the prefix ``kernel__`` for those of the tile kernel."""
        params = {"kernel": self.kernel, "systems": self.systems}
        if deep:
            params |= {f"kernel__{k}": v for k, v in self.kernel.get_params(deep=True).items()}
        return params

    @property
    def hyperparameters(self):
        """Hyperparameters of the tile kernel."""
        return self.kernel.hyperparameters

    @property
    def theta(self):
        """Log-transformed hyperparameters of the tile kernel."""
        return self.kernel.theta

    @theta.setter
    def theta(self, theta):
        self.kernel.theta = theta

    @property
    def bounds(self):
        """Bounds of `theta`."""
        return self.kernel.bounds

    @property
    def requires_vector_input(self):
        """True if `X` are vectors; samples are indices."""
        return True

    def __call__(self, X, Y=None, eval_gradient=False):
        """Return the kernel between the training systems and its gradient by theta."""
        value, gradient = _summed(self.kernel, self.systems, eval_gradient)
        return (value, gradient) if eval_gradient else value

    def diag(self, X):
        """Return the diagonal of ``self(X)``."""
        return np.diag(self(X)).copy()

    def is_stationary(self):
        """Return False, because there is no distance between systems."""
        return False

    def __repr__(self):
        return f"SummedKernel({self.kernel!r})"

    def __eq__(self, other):
        return (
            type(self) is type(other)
            and self.systems is other.systems
            and self.kernel == other.kernel
        )

    __hash__ = None  # type: ignore[assignment]


def _summed(kernel, systems, eval_gradient, block_rows=1024):
    """Return S k S' and its gradient, with each `WhiteKernel` term as noise of the totals."""
    n = len(systems.sample_weight)
    if isinstance(kernel, Sum):
        left, left_gradient = _summed(kernel.k1, systems, eval_gradient, block_rows)
        right, right_gradient = _summed(kernel.k2, systems, eval_gradient, block_rows)
        gradient = np.dstack([left_gradient, right_gradient]) if eval_gradient else None
        return left + right, gradient
    if isinstance(kernel, WhiteKernel):
        noise = np.diag(kernel.noise_level / systems.sample_weight)
        gradient = np.empty((n, n, 0))
        if eval_gradient and not kernel.hyperparameter_noise_level.fixed:
            gradient = noise[:, :, None]
        return noise, gradient
    tiles = systems.tiles
    if not eval_gradient:
        return tiles.between_samples(lambda A, B: between(kernel, A, B), block_rows), None
    # scikit-learn computes gradients of a kernel only between a set of rows and itself. For two
    # blocks of rows, they are part of those of the two blocks together.
    n_theta = len(kernel.theta)
    value, gradient = np.zeros((n, n)), np.zeros((n, n, n_theta))
    columns = tiles.sum_matrix.tocsc()
    blocks = blocks_of(tiles.n_distinct, block_rows)
    for i, left in enumerate(blocks):
        for right in blocks[i:]:
            rows = tiles.rows[left]
            if left != right:
                rows = np.vstack([rows, tiles.rows[right]])
            k, dk = kernel(rows, eval_gradient=True)
            size = left.stop - left.start
            cut = (slice(0, size), slice(0, size) if left == right else slice(size, None))
            layers = [k[cut], *(dk[(*cut, p)] for p in range(n_theta))]
            for p, layer in enumerate(layers):
                part = (columns[:, right] @ (columns[:, left] @ layer).T).T
                if left != right:
                    part = part + part.T
                if p == 0:
                    value += part
                else:
                    gradient[:, :, p - 1] += part
    return value, gradient


def between(kernel, A, B) -> np.ndarray:
    """Return the kernel between two sets of tiles, without the noise of totals."""
    if isinstance(kernel, Sum):
        return between(kernel.k1, A, B) + between(kernel.k2, A, B)
    if isinstance(kernel, WhiteKernel):
        return np.zeros((len(A), len(B)))
    return kernel(A, B)


def noise_of(kernel) -> float:
    """Return the noise of a total."""
    if isinstance(kernel, Sum):
        return noise_of(kernel.k1) + noise_of(kernel.k2)
    return kernel.noise_level if isinstance(kernel, WhiteKernel) else 0.0


def _require_additive_noise(kernel):
    """Raise TileModelError if noise is a factor, rather than a term, of the kernel."""
    inner = []
    if isinstance(kernel, (Sum, Product)):
        inner = [kernel.k1, kernel.k2]
    elif isinstance(kernel, Exponentiation):
        inner = [kernel.kernel]
    elif isinstance(kernel, CompoundKernel):
        raise TileModelError("A CompoundKernel has several values and cannot be summed.")
    for part in inner:
        if noise_of(part) and not isinstance(kernel, Sum):
            raise TileModelError(
                f"The noise in {kernel} is multiplied by another kernel, but noise of totals must "
                "be a separate term. Use kernel + WhiteKernel()."
            )
        _require_additive_noise(part)
