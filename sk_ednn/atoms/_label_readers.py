"""Conversion of energies, forces and stresses to arrays over all structures or atoms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .._utils.masks import unknown_as_nan
from ..structures._stress import VOIGT
from ._named_labels import Named

# Largest difference of a stress from its transpose, relative to its largest entry.
_ASYMMETRY = 1e-3


class _Reader(ABC):
    """Convert labels of one kind to an array over all structures or atoms."""

    kind = ""

    def __init__(self, structures, places):
        self.structures, self.places = structures, places

    @abstractmethod
    def missing(self) -> np.ndarray:
        """Return an array of NaN."""

    @abstractmethod
    def given(self, values) -> np.ndarray:
        """Return the array for an argument of `fit`."""

    def known(self, values):
        """Return a mask of the known rows."""
        return ~np.isnan(values.reshape(len(values), -1)).any(axis=1)

    def named(self, carried: Named, name):
        """Return the labels of a name that structures carry; NaN for structures without it."""
        out = self.missing()
        for k, of_structure in enumerate(carried.values):
            if name in of_structure:
                value = of_structure[name]
                if value.dtype.kind not in "iuf":
                    raise ValueError(
                        f"{self.places[k]}: the {self.kind} {name!r} must be a number, got "
                        f"{value.tolist()!r}."
                    )
                self.put(out, k, self.converted(np.asarray(value, dtype=np.float64), k, name))
        return self.checked(out)

    def converted(self, value, k, name):
        return value

    def put(self, out, k, value):
        out[k] = value

    def place_of(self, row):
        return self.places[row]

    def checked(self, values):
        wrong = np.flatnonzero(np.isinf(values.reshape(len(values), -1)).any(axis=1))
        if wrong.size:
            verb = "are" if self.kind == "forces" else "is"
            raise ValueError(
                f"{self.place_of(wrong[0])}: the {self.kind} {verb} infinite. Use NaN for unknown "
                "values, or leave the structure out."
            )
        return values

    def array(self, values, shape):
        array = unknown_as_nan(values, f"The {self.kind}")
        if array.shape != shape:
            raise ValueError(
                f"Expected the {self.kind} of {len(self.structures)} structures with "
                f"{self.structures.n_atoms} atoms, of shape {shape}; got {array.shape}."
            )
        return self.checked(array.copy())


class _Energies(_Reader):
    kind = "energy"

    def missing(self):
        return np.full(len(self.structures), np.nan)

    def converted(self, value, k, name):
        if value.ndim:
            raise ValueError(
                f"{self.places[k]}: the energy {name!r} must be one number; got shape "
                f"{value.shape}."
            )
        return value

    def given(self, values):
        return self.array(values, (len(self.structures),))


class _Forces(_Reader):
    kind = "forces"

    def missing(self):
        return np.full((self.structures.n_atoms, 3), np.nan)

    def put(self, out, k, value):
        out[self.structures.offsets[k] : self.structures.offsets[k + 1]] = value

    def converted(self, value, k, name):
        n = self.structures.sizes[k]
        if value.shape != (n, 3):
            raise ValueError(
                f"{self.places[k]}: {name!r} must be of shape ({n}, 3), got {value.shape}."
            )
        return value

    def place_of(self, row):
        k = int(self.structures.owners[row])
        return f"{self.places[k]}, atom {row - self.structures.offsets[k]}"

    def given(self, values):
        if isinstance(values, np.ndarray) and values.shape == (self.structures.n_atoms, 3):
            return self.array(values, (self.structures.n_atoms, 3))
        if not hasattr(values, "__len__") or len(values) != len(self.structures):
            raise ValueError(
                f"Expected forces for each of {len(self.structures)} structures, or an array of "
                f"shape ({self.structures.n_atoms}, 3); got {type(values).__name__}"
                + (f" of length {len(values)}." if hasattr(values, "__len__") else ".")
            )
        out = self.missing()
        for k, value in enumerate(values):
            if value is not None:
                self.put(out, k, self.converted(unknown_as_nan(value, f"forces[{k}]"), k, "forces"))
        return self.checked(out)


class _Stress(_Reader):
    kind = "stress"

    def missing(self):
        return np.full((len(self.structures), 6), np.nan)

    def converted(self, value, k, name):
        virial = "virial" in name.lower()
        if value.size == 9:
            matrix = value.reshape(3, 3)
            largest = np.nanmax(np.abs(matrix), initial=0.0)
            if not np.nanmax(np.abs(matrix - matrix.T), initial=0.0) <= _ASYMMETRY * largest + 1e-9:
                raise ValueError(
                    f"{self.places[k]}: {name!r} is not symmetric, {matrix.round(6).tolist()}."
                )
            value = ((matrix + matrix.T) / 2)[VOIGT]
        elif value.shape != (6,) or virial:
            hint = " For a virial pass nine: six have no unique order." if virial else ""
            raise ValueError(
                f"{self.places[k]}: {name!r} must be six numbers (xx, yy, zz, yz, xz, xy) or nine; "
                f"got shape {value.shape}.{hint}"
            )
        if virial:
            volume = self.structures.volumes[k]
            if volume <= 0:
                raise ValueError(f"{self.places[k]}: {name!r} needs a cell with a volume.")
            # The virial of QUIP, MACE, DeePMD-kit and NEP is minus the derivative by strain.
            value = -value / volume
        return value

    def given(self, values):
        n = len(self.structures)
        if not isinstance(values, np.ndarray) and hasattr(values, "__len__"):
            values = [np.full(6, np.nan) if each is None else each for each in values]
        array = unknown_as_nan(values, "The stress")
        if array.shape == (n, 3, 3):
            array = np.array([self.converted(each, k, "stress") for k, each in enumerate(array)])
        return self.array(array, (n, 6))


READERS: dict[str, Any] = {"energy": _Energies, "forces": _Forces, "stress": _Stress}
