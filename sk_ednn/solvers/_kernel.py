"""Kernel ridge on sums: the ordinary fit with the kernel between systems, S K S'.

If each tile contributes ``c(t) = sum_u k(t, u) a_u``, the squared error of the totals and the
penalty ``alpha a' K a`` are those of kernel ridge between *systems*, whose kernel is the sum of
the tile kernel over all pairs of their tiles. The coefficients of the tiles are ``a = S' dual``.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import eigh, lstsq, qr
from sklearn.base import clone
from sklearn.exceptions import EfficiencyWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels

from .._utils.memory import require_memory
from .._utils.stacklevel import outside_package
from .._utils.steps import dense
from .._utils.stored import stored
from ..exceptions import TileModelError
from ._base import AbstractSolver, last_step
from ._features import TileFeatures
from ._problem import SumProblem

# Eigenvalues of a kernel matrix below this, relative to the largest, are round-off.
_RANK_TOLERANCE = 1e-13
# A more negative eigenvalue than this is not: the kernel is indefinite (such as "sigmoid").
_SIGN_TOLERANCE = 1e-10
_REMEDY = (
    "Fit fewer samples, or use a tile model with a fixed number of features, such as "
    "make_pipeline(Nystroem(n_components=1000), Ridge())."
)


@stored("KernelSolver", former=("KernelSumFit",))
class KernelSolver(AbstractSolver):
    """Fit kernel ridge exactly, over distinct tiles.

    With ``n`` samples and ``m`` distinct tiles, let ``K`` be the kernel matrix of those tiles and
    ``S`` the number of times each sample contains each of them. If ``n <= m``, the unmodified
    `KernelRidge` solves the dual problem on ``S K S'``. Otherwise the same minimum is found as
    ridge regression on ``S K^(1/2)``, in one pass over the samples. Kernels that are not positive
    semi-definite have no such root and always use the dual problem.

    The kernel is computed in blocks. Memory grows with ``min(n, m)**2``, not with the number of
    tiles; time grows with ``m**2``.

    Parameters
    ----------
    max_bytes : int or None, default=None
        Maximum memory. None for three quarters of the free memory.

    Examples
    --------
    >>> from sklearn.kernel_ridge import KernelRidge
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> small = make_ising(1000, (8, 8), sampling="flat", random_state=0)
    >>> large = make_ising(2, (64, 64), n_sweeps=100, random_state=1)
    >>> tile_model = KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6)
    >>> model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1))
    >>> model = model.fit(small.fields, small.energies)
    >>> bool(abs(model.predict(large.fields) - large.energies).max() < 1e-3)
    True
    """

    # Rows of a kernel matrix computed at a time.
    _block_rows = 1024
    # With more distinct tiles than this, warn that the fit is slow: 46,080 tiles of 3 x 3 took 15 s
    # on one core, and the time is quadratic.
    _many_tiles = 45_000

    def __init__(self, max_bytes=None):
        self.max_bytes = max_bytes

    def suits(self, terms) -> bool:
        """Return True if all terms end in a `KernelRidge`."""
        return all(isinstance(last_step(term.tile_model), KernelRidge) for term in terms)

    def fit(self, problem: SumProblem):
        """Fit the terms, which share their `alpha`; see `AbstractSolver.fit`."""
        self._require_suited(problem.terms)
        kernels = [SummedTiles(term, problem, self.max_bytes) for term in problem.terms]
        models = [kernel.features.final for kernel in kernels]
        for model in models:
            if isinstance(model.kernel, str) and model.kernel == "precomputed":
                raise TileModelError(
                    "kernel='precomputed' cannot be summed, because the kernel must be evaluated "
                    "between tiles. Pass the name of a kernel or a callable."
                )
        if any(not np.array_equal(model.alpha, models[0].alpha) for model in models):
            raise TileModelError(
                "Kernels of several terms are summed and must share one alpha, got "
                f"{[model.alpha for model in models]}."
            )
        functions = [tile_kernel(model) for model in models]
        n_distinct = sum(kernel.n_distinct for kernel in kernels)
        if n_distinct > self._many_tiles:
            warnings.warn(
                f"These fields have {n_distinct:,} distinct tiles. The time of a kernel ridge fit "
                "grows with the square of that number, and the time of a prediction with its "
                "product with the number of tiles, to minutes or hours. Tiles of real numbers "
                "hardly ever repeat. Models with a fixed number of features are faster, such as "
                "make_pipeline(StandardScaler(), PolynomialFeatures(3), Ridge(1e-6)) or "
                "make_pipeline(Nystroem(n_components=1000), Ridge(1e-6)).",
                EfficiencyWarning,
                stacklevel=outside_package(),
            )
        if problem.y.shape[0] <= n_distinct:
            coefficients = self._fit_dual(problem, kernels, functions, models[0])
        else:
            coefficients = self._fit_primal(problem, kernels, functions, models[0])

        fitted = []
        for kernel, model, weights in zip(kernels, models, coefficients, strict=True):
            model.X_fit_ = kernel.rows
            model.dual_coef_ = weights[:, 0] if problem.n_outputs == 1 else weights
            model.n_features_in_ = kernel.rows.shape[1]
            estimator = kernel.features.assemble(model)
            fitted.append(problem.tile_model(kernel.features.term, estimator))
        return fitted

    def _fit_dual(self, problem, kernels, functions, model):
        n = len(problem.y)
        require_memory(
            4 * 8 * n * n,
            f"A kernel matrix between {n} samples",
            _REMEDY,
            self.max_bytes,
        )
        summed = np.zeros((n, n))
        for kernel, function in zip(kernels, functions, strict=True):
            summed += kernel.between_samples(function, self._block_rows)
        solver = clone(model).set_params(kernel="precomputed")
        dual = solver.fit(summed, problem.y, problem.sample_weight).dual_coef_
        return [kernel.sum_matrix.T @ dual for kernel in kernels]

    def _fit_primal(self, problem, kernels, functions, model):
        m = sum(kernel.n_distinct for kernel in kernels)
        require_memory(
            4 * 8 * m * m,
            f"A kernel matrix between {m} distinct tiles",
            _REMEDY,
            self.max_bytes,
        )
        # K = B B', with as many columns as the rank of K. Then c = B w, and w is fitted by ridge
        # regression on S B.
        pairs = [
            _root(function(kernel.rows))
            for kernel, function in zip(kernels, functions, strict=True)
        ]
        if any(pair is None for pair in pairs):
            return self._fit_dual(problem, kernels, functions, model)
        roots, backs = zip(*pairs, strict=True)
        weight = 1.0 if problem.sample_weight is None else np.sqrt(problem.sample_weight)[:, None]
        rank = sum(root.shape[1] for root in roots)
        triangle = np.zeros((0, rank + problem.n_outputs))
        for part in blocks_of(len(problem.y), 8 * self._block_rows):
            rows = np.hstack(
                [
                    kernel.sum_matrix[part] @ root
                    for kernel, root in zip(kernels, roots, strict=True)
                ]
                + [problem.y[part]]
            )
            rows *= 1.0 if problem.sample_weight is None else weight[part]
            # A running QR keeps the condition number of S B; normal equations would square it.
            triangle = qr(np.vstack([triangle, rows]), mode="r", overwrite_a=True)[0][
                : rank + problem.n_outputs
            ]
        solution = _ridge(triangle[:, :rank], triangle[:, rank:], model.alpha)
        splits = np.cumsum([root.shape[1] for root in roots])[:-1]
        return [back @ part for back, part in zip(backs, np.split(solution, splits), strict=True)]


@stored("SummedTiles", derived=("features",))
class SummedTiles:
    """The distinct tiles of a term as rows of features, and sums of a kernel over them.

    Parameters
    ----------
    term : Term
    problem : SumProblem
    max_bytes : int or None

    Attributes
    ----------
    features : TileFeatures
    rows : ndarray of shape (n_distinct, n_features)
    sum_matrix : csr_array of shape (n_samples, n_distinct)
    """

    def __init__(self, term, problem: SumProblem, max_bytes=None):
        self.features = TileFeatures(term, problem.systems)
        tiles = term.tiling.tiles(problem.systems)
        per_tile = 3 * 8.0 * np.prod(tiles.tile_shape)

        def admit(n_distinct):
            require_memory(
                per_tile * n_distinct,
                f"Storing {n_distinct} distinct tiles for a kernel method",
                "Fit fewer or smaller fields, or use a tile model with a fixed number of features, "
                "such as make_pipeline(Nystroem(n_components=1000), Ridge()).",
                max_bytes,
            )

        tiles, _ = tiles.unique(admit)
        self.rows = dense(self.features.of_distinct(tiles, problem.systems))
        self.sum_matrix = tiles.sum_matrix

    @property
    def n_distinct(self) -> int:
        """Number of distinct tiles."""
        return len(self.rows)

    def between_samples(self, function, block_rows=1024) -> np.ndarray:
        """Return S K S', of shape (n_samples, n_samples), without storing K.

        Parameters
        ----------
        function : callable
            The kernel ``k(A, B)`` between rows of features.
        block_rows : int, default=1024
            Rows and columns of K that are computed at a time.
        """
        n_samples = self.sum_matrix.shape[0]
        columns = self.sum_matrix.tocsc()
        out = np.zeros((n_samples, n_samples))
        blocks = blocks_of(self.n_distinct, block_rows)
        for i, left in enumerate(blocks):
            for right in blocks[i:]:
                # (S_i K_ij) S_j', and its transpose if the block is off the diagonal.
                half = columns[:, left] @ function(self.rows[left], self.rows[right])
                part = (columns[:, right] @ half.T).T
                out += part if left == right else part + part.T
        return out


def blocks_of(n_rows, block_rows) -> list[slice]:
    """Return the slices of at most `block_rows` rows into which a matrix is divided."""
    starts = range(0, n_rows, block_rows)
    return [slice(start, min(start + block_rows, n_rows)) for start in starts]


def tile_kernel(model: KernelRidge):
    """Return the kernel function of a `KernelRidge` as ``k(A, B=None)``."""
    if callable(model.kernel):
        params = dict(model.kernel_params or {})
    else:
        params = {"gamma": model.gamma, "degree": model.degree, "coef0": model.coef0}

    def function(A, B=None):
        return pairwise_kernels(A, B, metric=model.kernel, filter_params=True, **params)

    return function


def _root(kernel) -> tuple[np.ndarray, np.ndarray] | None:
    """Return B with K = B B' and A with K A = B, or None if K is indefinite."""
    values, vectors = eigh(kernel)
    if values[0] < -_SIGN_TOLERANCE * abs(values).max():
        return None
    kept = values > max(values[-1], 0.0) * _RANK_TOLERANCE
    root = np.sqrt(values[kept])
    return vectors[:, kept] * root, vectors[:, kept] / root


def _ridge(matrix, targets, alpha) -> np.ndarray:
    """Minimise |matrix w - target|^2 + alpha |w|^2 for each target column."""
    n = matrix.shape[1]
    alphas = np.broadcast_to(np.asarray(alpha, dtype=float), (targets.shape[1],))
    solution = np.empty((n, targets.shape[1]))
    for k, penalty in enumerate(alphas):
        stacked = np.vstack([matrix, np.sqrt(penalty) * np.eye(n)])
        target = np.concatenate([targets[:, k], np.zeros(n)])
        solution[:, k] = lstsq(stacked, target, lapack_driver="gelsy")[0]
    return solution
