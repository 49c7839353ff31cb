"""The kinds of model that a potential can be, and how each is fitted to labelled structures."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state

from ..descriptors import AbstractDescriptor
from ..estimators._regressor import EDNNRegressor
from ..exceptions import TileModelError
from ..tiling import AtomTiling
from ._potentials import DrawnPotential, TiledPotential, atomic_totals
from ._rasterise import GaussianRasterizer

NETWORK_NAMES = ("spectrum", "symmetry-functions", "chebyshev", "deep-pot")


class Fitted(NamedTuple):
    """What a fit leaves."""

    potential: Any
    species: list[int]
    history: list[dict]
    unlearned: tuple[str, ...] = ()  # labels that this kind of model does not learn


def kind_of(model):
    """Return the kind of a model: how it is fitted, and what its features are.

    Parameters
    ----------
    model : str, descriptor, tiling, estimator, torch module or callable

    Raises
    ------
    TypeError, ValueError
        Where it is none of them.
    """
    if isinstance(model, EDNNRegressor):
        return TiledKind
    if isinstance(model, (GaussianRasterizer, Pipeline)):
        return DrawnKind
    if isinstance(model, str):
        if model not in NETWORK_NAMES:
            raise ValueError(f"model must be one of {', '.join(NETWORK_NAMES)}; got {model!r}.")
        return NetworkKind
    if isinstance(model, (AbstractDescriptor, AtomTiling)) or callable(model):
        return NetworkKind
    raise TypeError(
        "model must be a name, a descriptor, an AtomTiling, an EDNNRegressor, a Pipeline that "
        f"begins with a GaussianRasterizer, or a function of the species; got {model!r}."
    )


def features_of(potential):
    """Return a function of structures that yields features of atoms; None for images."""
    if isinstance(potential, DrawnPotential):
        return None
    if isinstance(potential, TiledPotential):
        return potential.features
    from ._atomic_networks import standardized_features

    return partial(standardized_features, potential.network)


class NetworkKind:
    """Networks of atoms, trained on energies, forces and stresses."""

    @staticmethod
    def fit(asked, data, groups, sample_weight) -> Fitted:
        """Train a network; see `EDNNPotential.fit`."""
        from ..solvers._potential import PotentialLabels

        labels = PotentialLabels.of(data.structures, data.energies, data.forces, data.stress)
        start = _network(asked)
        if asked.warm_start and hasattr(asked, "potential_"):
            start = asked.potential_
        result = _trainer(asked).fit(
            data.structures, labels, start, sample_weight=sample_weight, groups=groups
        )
        species = list(result.potential.network.index.numbers)
        return Fitted(result.potential, species, result.history)


class TiledKind:
    """Any regressor on the tiles of atoms."""

    @staticmethod
    def fit(asked, data, groups, sample_weight) -> Fitted:
        """Fit an `EDNNRegressor`, with one term for each species; see `EDNNPotential.fit`."""
        _refuse(asked, "trainer", "checkpoint", "context", "network_params", "max_seconds",
                "max_epochs")  # fmt: skip
        _require_energies(data)
        model = _per_species(clone(asked.model), np.unique(data.structures.numbers))
        model = _seeded(model, asked)
        species = np.unique(data.structures.numbers).tolist()
        atomic = _checked_atomic(asked.atomic_energies, species)
        energies = data.energies - atomic_totals(atomic, data.structures)
        solver, _ = model._parts(check_random_state(0))
        gradient, unlearned = None, ("forces", "stress")
        if solver.learns_system_gradients:
            gradient, unlearned = _gradients(data), ()
        model.fit(
            data.structures, energies, sample_weight=sample_weight, groups=groups,
            gradient=gradient,
        )  # fmt: skip
        return Fitted(TiledPotential(model, atomic), species, [], unlearned)


class DrawnKind:
    """Models of images that structures are drawn as."""

    @staticmethod
    def fit(asked, data, groups, sample_weight) -> Fitted:
        """Draw structures and fit a model of fields; see `EDNNPotential.fit`."""
        _refuse(asked, "trainer", "checkpoint", "context", "network_params", "max_seconds",
                "max_epochs", "atomic_energies")  # fmt: skip
        _require_energies(data)
        model = clone(asked.model)
        if isinstance(model, GaussianRasterizer):
            raise TileModelError(
                "A GaussianRasterizer draws; what is fitted to its fields must follow it: "
                "make_pipeline(rasterizer, EDNNRegressor(tile_model, GridTiling(...)))."
            )
        draw, regressor = _checked_pipeline(model)
        regressor = _seeded(regressor, asked)
        structures = list(data.structures)
        fields = draw.fit_transform(structures)
        gradient, unlearned = None, ["forces", "stress"]
        solver, _ = regressor._parts(check_random_state(0))
        if data.found["forces"]["known"] and solver.learns_gradients:
            gradient = _drawn_gradients(draw, data, structures)
            unlearned = [] if draw.adjust > 0 else ["stress"]
        regressor.fit(
            fields, data.energies, sample_weight=sample_weight, groups=groups, gradient=gradient
        )
        species = np.unique(data.structures.numbers).tolist()
        potential = DrawnPotential(make_pipeline(draw, regressor))
        return Fitted(potential, species, [], tuple(unlearned))


# --- networks ---------------------------------------------------------------------------------


def _network(asked):
    """Return a network, or what makes one from species."""
    from ._atomic_networks import factory

    model, params = asked.model, dict(asked.network_params or {})
    if isinstance(model, AtomTiling):
        if model.species is not None:
            raise TileModelError(
                "All atoms have energies: give an AtomTiling with species=None, from which a "
                "network for each species is made."
            )
        if model.context is not None:
            raise TileModelError(
                "The context of an AtomTiling is for models other than networks: give "
                "EDNNPotential(context=8), whose averages are learned."
            )
        model = model.descriptor
    if isinstance(model, (str, AbstractDescriptor)):
        return factory(model, asked.cutoff, asked.context or 0, params)
    if params or asked.context:
        raise TileModelError(
            "context and network_params are for networks by name or descriptor: give them to the "
            "network itself."
        )
    return model


def _trainer(asked):
    from ..solvers._potential import PotentialTrainer

    params: dict[str, Any] = {}
    if asked.max_seconds is not None or asked.max_epochs is not None:
        params |= {"max_seconds": asked.max_seconds, "max_epochs": asked.max_epochs}
    for name in ("atomic_energies", "checkpoint"):
        if getattr(asked, name) is not None:
            params[name] = getattr(asked, name)
    trainer = PotentialTrainer() if asked.trainer is None else clone(asked.trainer)
    if not isinstance(trainer, PotentialTrainer):
        raise TypeError(f"trainer must be a PotentialTrainer or None, got {asked.trainer!r}.")
    if trainer.random_state is None:
        params["random_state"] = asked.random_state
    if asked.verbose:
        params["callback"] = _Progress(trainer.callback)
    return trainer.set_params(**params)


class _Progress:
    """Print each epoch, then call what the trainer calls."""

    def __init__(self, then):
        self.then = then

    def __call__(self, record):
        shown = {
            "loss": record["loss"],
            **{name: record[key] for name, key in _SHOWN.items() if key in record},
        }
        text = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(f"epoch {record['epoch']}, {record['seconds']:.0f} s: {text}", file=sys.stderr)
        return None if self.then is None else self.then(record)


_SHOWN = {
    "held out: meV/atom": "valid_energy_mae", "meV/Å": "valid_force_mae",
    "GPa": "valid_stress_mae",
}  # fmt: skip


# --- tiles ------------------------------------------------------------------------------------


def _per_species(model, numbers):
    """Return a regressor with one term for each species."""
    if isinstance(model.tile_model, list):
        if not all(isinstance(tiling, AtomTiling) for *_, tiling in model.tile_model):
            raise TileModelError("Each term of a potential needs an AtomTiling.")
        return model
    tiling = model.tiling
    if not isinstance(tiling, AtomTiling):
        raise TileModelError(
            "The EDNNRegressor of a potential needs an AtomTiling, such as "
            f"AtomTiling(PowerSpectrum(cutoff=6.0)); got {tiling!r}."
        )
    if tiling.species is not None or len(numbers) == 1:
        return model
    terms = AtomTiling.per_species(
        model.tile_model, tiling.descriptor, numbers.tolist(), context=tiling.context
    )
    return model.set_params(tile_model=terms, tiling=None)


def _seeded(model, asked):
    params = {}
    if model.random_state is None:
        params["random_state"] = asked.random_state
    if not model.verbose:
        params["verbose"] = asked.verbose
    if asked.warm_start:
        raise TileModelError(
            "warm_start goes on with networks; other models are fitted anew to all data."
        )
    return model.set_params(**params)


def _gradients(data):
    """Return gradients of energies by positions and strain, None where nothing is known."""
    out: list[dict | None] = []
    for k, (six, volume) in enumerate(zip(data.stress, data.structures.volumes, strict=True)):
        forces, known = data.forces_of(k), {}
        missing = np.isnan(forces)
        if missing.any() and not missing.all():
            raise TileModelError(
                f"{data.places[k]} has atoms without forces, and a linear model needs all of them "
                "or none: leave such structures out, or give forces=False."
            )
        if not missing.any():
            known["positions"] = 0.0 - forces
        if not np.isnan(six).any():
            known["strain"] = _matrix(six) * volume
        out.append(known)
    return out if any(out) else None


def _checked_atomic(energies, species):
    energies = {} if energies is None else {int(n): float(e) for n, e in energies.items()}
    missing = [number for number in species if energies and number not in energies]
    if missing:
        raise TileModelError(f"atomic_energies has no energy for the atomic numbers {missing}.")
    return energies


# --- images -----------------------------------------------------------------------------------


def _checked_pipeline(model):
    steps = [step for _, step in model.steps]
    if len(steps) != 2 or not isinstance(steps[0], GaussianRasterizer):
        raise TileModelError(
            "A Pipeline of a potential is of a GaussianRasterizer and an EDNNRegressor, got "
            f"{' and '.join(type(step).__name__ for step in steps)}."
        )
    return steps


def _drawn_gradients(draw, data, structures):
    forces = [data.forces_of(k) for k in range(len(structures))]
    missing = [k for k, own in enumerate(forces) if np.isnan(own).any()]
    if missing:
        raise TileModelError(
            f"{data.places[missing[0]]} has atoms without forces, and a model of images needs all "
            "of them or none: leave such structures out, or give forces=False."
        )
    strain = None
    if draw.adjust > 0 and data.found["stress"]["known"]:
        strain = [
            None if np.isnan(own).any() else _matrix(own) * volume
            for own, volume in zip(data.stress, data.structures.volumes, strict=True)
        ]
    return draw.position_gradients(structures, forces, strain_gradients=strain)


def _matrix(six):
    xx, yy, zz, yz, xz, xy = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


# --- checks -----------------------------------------------------------------------------------


def _refuse(asked, *names):
    given = [name for name in names if getattr(asked, name) is not None]
    if given:
        raise TileModelError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for networks of atoms; "
            f"{type(asked.model).__name__} takes none."
        )


def _require_energies(data):
    missing = np.flatnonzero(np.isnan(data.energies))
    if missing.size:
        raise TileModelError(
            f"{data.places[missing[0]]} has no energy, and this model learns from energies; "
            f"{missing.size} such structure(s) in all. Leave them out, or take a network."
        )
