"""Sources and tile models for tests of evaluation in other processes, which import them by name."""

import os
import time
from pathlib import Path

import numpy as np
from sklearn.kernel_ridge import KernelRidge


class Slow(KernelRidge):
    """Takes its time, and leaves a line in a file for each block."""

    def __init__(
        self, alpha=1.0, *, kernel="rbf", gamma=0.1, degree=3, coef0=1, kernel_params=None,
        log=None, seconds=0.0,
    ):  # fmt: skip
        super().__init__(
            alpha, kernel=kernel, gamma=gamma, degree=degree, coef0=coef0,
            kernel_params=kernel_params,
        )  # fmt: skip
        self.log = log
        self.seconds = seconds

    def predict(self, X):
        if self.log is not None:
            with open(self.log, "ab", buffering=0) as file:
                file.write(b"%d\n" % os.getpid())
        time.sleep(self.seconds)
        return super().predict(X)


class Formula:
    """A field of any size that is computed where it is read."""

    dtype = np.dtype(np.float64)
    spacing = None

    def __init__(self, shape, bad=None):
        self.shape = shape
        self.bad = bad

    def read(self, slices):
        places = np.ogrid[tuple(slice(part.start, part.stop) for part in slices)]
        field = np.sin(sum((k + 1) * 0.37 * place for k, place in enumerate(places)))
        if self.bad is not None and all(
            part.start <= k < part.stop for part, k in zip(slices, self.bad, strict=True)
        ):
            raise OSError("checksum does not match")
        return field

    def identity(self):
        return f"formula {self.shape} {self.bad}"


def lines(path):
    """Return the lines of a file that may not be there."""
    path = Path(path)
    return path.read_text().splitlines() if path.exists() else []
