"""Warnings name the first frame outside of the package, however deep they are issued."""

import pytest
from sklearn.kernel_ridge import KernelRidge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.solvers import KernelSolver
from tests._cases import make_field


class Cautious(KernelSolver):
    _many_tiles = 10


def test_warning_of_a_solver_names_this_file():
    X = make_field("float64", 5, (8,))
    model = EDNNRegressor(KernelRidge(), GridTiling(1, 1), solver=Cautious())
    with pytest.warns(UserWarning, match="distinct tiles") as record:
        model.fit(X, X.sum(axis=1))
    assert {warning.filename for warning in record} == {__file__}
