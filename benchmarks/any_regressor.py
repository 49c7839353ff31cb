"""Any regressor learns Ising totals: R² on unseen systems of 8 x 8."""

from _measure import arguments, machine, peak_megabytes, table

import time

from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.metrics import extensive_errors

MODELS = {
    "random forest": RandomForestRegressor(30, n_jobs=2),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=50),
    "nearest neighbours": KNeighborsRegressor(),
    "support vectors": SVR(),
    "decision tree": DecisionTreeRegressor(),
    "multilayer perceptron": MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=100),
    "kernel ridge": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6),
    "quadratic ridge": make_pipeline(PolynomialFeatures(2), Ridge(1e-6)),
    "Gaussian process (300 systems)": GaussianProcessRegressor(
        ConstantKernel(1.0, (1e-5, 1e9)) * RBF(3.0) + WhiteKernel(1e-4, (1e-12, 1.0))
    ),
}


def main():
    options = arguments(__doc__)
    machine()
    n = 500 if options.quick else 2000
    train = make_ising(n, (8, 8), random_state=0)
    test = make_ising(1000, (8, 8), random_state=1)
    large = make_ising(10, (64, 64), n_sweeps=100, random_state=2)
    rows = []
    for name, tile_model in MODELS.items():
        part = slice(0, 300 if name.startswith("Gaussian") else n)
        model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1), random_state=0)
        start = time.perf_counter()
        model.fit(train.fields[part], train.energies[part])
        took = time.perf_counter() - start
        rows.append(
            [
                name,
                type(model.solver_).__name__,
                took,
                f"{model.score(test.fields, test.energies):.6f}",
                extensive_errors(test.energies, model.predict(test.fields)).median,
                extensive_errors(large.energies, model.predict(large.fields)).median,
            ]
        )
    table(["tile model", "strategy", "fit s", "R² 8x8", "median J 8x8", "median J 64x64"], rows)
    print(f"peak memory {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
