"""Muon for the matrices of a network, Adam for what is left."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

# Matrices with fewer rows or columns than this are left to Adam: readouts, contexts.
_LEAST = 16
# Newton-Schulz iterations, and the coefficients of each (K. Jordan et al., 2024): singular values
# end between 0.7 and 1.2.
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Root mean square of the update of a matrix over the learning rate: that of Adam (J. Liu et al.,
# arXiv:2502.16982).
_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Descend along the orthogonal matrix that is nearest to the momentum of each matrix.

    A gradient has a few large singular values, and Adam follows these; here all directions of a
    matrix move alike. On energies and forces it needs about a third of the steps. Stacks of
    matrices are taken one by one; vectors and narrow matrices are left to Adam.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float, default=2e-3
    momentum : float, default=0.95
    betas : (float, float), default=(0.9, 0.999)
        Decay rates of Adam.
    eps : float, default=1e-8
        Added to the denominator of Adam.
    weight_decay : float, default=0.0
        Decoupled from the gradient, as in AdamW; of matrices alone.

    References
    ----------
    K. Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024).
    """

    def __init__(
        self, params, lr=2e-3, momentum=0.95, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        defaults = {
            "lr": lr, "momentum": momentum, "betas": tuple(betas), "eps": eps,
            "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Take a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            kinds = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                matrix = p.ndim >= 2 and min(p.shape[-2:]) >= _LEAST
                kinds[tuple(p.shape) if matrix else None].append(p)
            for shape, parameters in kinds.items():
                if shape is None:
                    self._adam(group, parameters)
                else:
                    self._orthogonal(group, parameters)
        return loss

    def _orthogonal(self, group, parameters):
        beta = group["momentum"]
        gradients = [p.grad for p in parameters]
        momenta = [self._kept(p, "momentum") for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - beta)
        updates = orthogonalized(torch.stack(torch._foreach_lerp(gradients, momenta, beta)))
        size = _SIZE * max(updates.shape[-2:]) ** 0.5
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-group["lr"] * size)

    def _adam(self, group, parameters):
        (first, second), eps = group["betas"], group["eps"]
        gradients = [p.grad for p in parameters]
        means = [self._kept(p, "mean") for p in parameters]
        squares = [self._kept(p, "square") for p in parameters]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        widths = torch._foreach_sqrt(squares)
        rates = []
        for p, width in zip(parameters, widths, strict=True):
            state = self.state[p]
            state["step"] = state.get("step", 0) + 1
            width.div_((1 - second ** state["step"]) ** 0.5).add_(eps)
            rates.append(-group["lr"] / (1 - first ** state["step"]))
        torch._foreach_addcdiv_(parameters, means, widths, rates)

    def _kept(self, p, name):
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        return state[name]


def orthogonalized(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices near to 1 (0.7 to 1.2).

    Parameters
    ----------
    matrices : Tensor of shape (..., n, m)

    Returns
    -------
    Tensor of the same shape
        With the same singular vectors. Singular values below about a thousandth of the largest stay
        small.

    Examples
    --------
    >>> import torch
    >>> from sk_ednn.solvers._potential._muon import orthogonalized
    >>> values = torch.linalg.svdvals(orthogonalized(torch.diag(torch.tensor([9.0, 1.0, 0.2]))))
    >>> bool(((values > 0.65) & (values < 1.25)).all())
    True
    """
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    gram = x @ x.mT
    # The largest singular value is at most the norm.
    square = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp_min(1e-30)
    gram = gram / square
    a, b, c = _COEFFICIENTS
    product = None
    # Each iteration multiplies x by a polynomial of its gram matrix. All of them commute, so that
    # they are applied to the small matrix, and to x once.
    for k in range(_ITERATIONS):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if k < _ITERATIONS - 1:
            gram = factor @ gram @ factor
    x = (product @ x) * square.rsqrt()
    return x if wide else x.mT
