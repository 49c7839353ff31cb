"""The kinds of models of a potential, and their fits to labelled structures."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state

from .._utils.stacklevel import outside_package
from .._utils.wording import with_article
from ..descriptors import AbstractDescriptor
from ..estimators._regressor import EDNNRegressor
from ..exceptions import TileModelError
from ..structures._repulsion import without_repulsion
from ..tiling import AtomTiling
from ._potential_committee import (
    MemberCallback,
    PotentialCommittee,
    checkpoint_of,
    members_of,
    with_member,
)
from ._potential_progress import Progress
from ._potentials import DrawnPotential, TiledPotential, atomic_totals
from ._rasterise import GaussianRasterizer

NETWORK_NAMES = ("spectrum", "symmetry-functions", "chebyshev", "deep-pot")
# Members of a committee may differ by this factor in epochs without a warning.
_UNEVEN = 2


class Fitted(NamedTuple):
    """Result of a fit."""

    potential: Any
    species: list[int]
    history: list[dict]
    unlearned: tuple[str, ...] = ()  # labels that this kind of model does not learn


def kind_of(model):
    """Return the class that fits a model.

    Parameters
    ----------
    model : str, descriptor, tiling, estimator, torch module or callable

    Raises
    ------
    TypeError, ValueError
        If it is none of them.
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
        "model must be a name, a descriptor, an AtomTiling, an EDNNRegressor, a Pipeline of a "
        f"GaussianRasterizer and an EDNNRegressor, or a function of the species; got {model!r}."
    )


def features_of(potential):
    """Return a function that yields the features of atoms of structures; None for images."""
    if isinstance(potential, DrawnPotential):
        return None
    if isinstance(potential, TiledPotential):
        return potential.features
    from ._atomic_networks import standardized_features

    return partial(standardized_features, members_of(potential)[0].network)


class NetworkKind:
    """Networks of atoms, trained on energies, forces and stresses."""

    @staticmethod
    def fit(estimator, data, groups, sample_weight) -> Fitted:
        """Train a network; see `EDNNPotential.fit`."""
        from ..solvers._potential import PotentialLabels

        labels = PotentialLabels.of(data.structures, data.energies, data.forces, data.stress)
        n_members, history, members, epochs = estimator.n_members, [], [], []
        starts = [_network(estimator)] * n_members
        if estimator.warm_start and hasattr(estimator, "potential_"):
            starts = _members_to_continue(estimator)
        for k, trainer in enumerate(_trainers(estimator)):
            result = trainer.fit(
                data.structures, labels, starts[k], sample_weight=sample_weight, groups=groups
            )
            members.append(result.potential)
            history += [with_member(record, k, n_members) for record in result.history]
            epochs.append(result.history[-1]["epoch"] if result.history else 0)
            if result.interrupted:
                break
        else:
            if not trainer.early_stopping:
                _warn_if_uneven(epochs)
        species = list(members[0].network.index.numbers)
        potential = members[0] if n_members == 1 else PotentialCommittee(members)
        return Fitted(potential, species, history)


class TiledKind:
    """Any tile model, on tiles of atoms."""

    @staticmethod
    def fit(estimator, data, groups, sample_weight) -> Fitted:
        """Fit an `EDNNRegressor`, with one term for each species; see `EDNNPotential.fit`."""
        _refuse_members(estimator)
        _refuse(estimator, "trainer", "checkpoint", "context", "network_params", "max_seconds",
                "max_epochs")  # fmt: skip
        _require_energies(data)
        model = _per_species(clone(estimator.model), np.unique(data.structures.numbers))
        model = _seeded(model, estimator)
        species = np.unique(data.structures.numbers).tolist()
        atomic = _checked_atomic(estimator.atomic_energies, species)
        if estimator.repulsion:
            labels = without_repulsion(data.structures, data.energies, data.forces, data.stress)
            data = replace(data, **dict(zip(("energies", "forces", "stress"), labels, strict=True)))
        energies = data.energies - atomic_totals(atomic, data.structures)
        solver, _ = model._parts(check_random_state(0))
        gradient, unlearned = None, ("forces", "stress")
        if solver.learns_system_gradients:
            gradient, unlearned = _gradients(data), ()
        model.fit(
            data.structures, energies, sample_weight=sample_weight, groups=groups,
            gradient=gradient,
        )  # fmt: skip
        # The potential compares structures itself, and close atoms are those of the repulsion.
        vars(model).pop("input_range_", None)
        potential = TiledPotential(model, atomic, estimator.repulsion)
        return Fitted(potential, species, [], unlearned)


class DrawnKind:
    """Models of images of structures."""

    @staticmethod
    def fit(estimator, data, groups, sample_weight) -> Fitted:
        """Draw structures and fit a model of fields; see `EDNNPotential.fit`."""
        _refuse_members(estimator)
        _refuse(estimator, "trainer", "checkpoint", "context", "network_params", "max_seconds",
                "max_epochs", "atomic_energies")  # fmt: skip
        _require_energies(data)
        if estimator.repulsion:
            raise TileModelError("repulsion is not for models of images; use repulsion=False.")
        model = clone(estimator.model)
        if isinstance(model, GaussianRasterizer):
            raise TileModelError(
                "A GaussianRasterizer must be followed by a regressor: make_pipeline(rasterizer, "
                "EDNNRegressor(tile_model, GridTiling(...)))."
            )
        draw, regressor = _checked_pipeline(model)
        regressor = _seeded(regressor, estimator)
        structures = list(data.structures)
        fields = draw.fit_transform(structures)
        _require_channels(draw, regressor)
        gradient, unlearned = None, ["forces", "stress"]
        solver, _ = regressor._parts(check_random_state(0))
        if data.labels["forces"]["known"] and solver.learns_gradients:
            gradient = _drawn_gradients(draw, data, structures)
            unlearned = [] if draw.adjust > 0 else ["stress"]
        regressor.fit(
            fields, data.energies, sample_weight=sample_weight, groups=groups, gradient=gradient
        )
        species = np.unique(data.structures.numbers).tolist()
        potential = DrawnPotential(make_pipeline(draw, regressor))
        return Fitted(potential, species, [], tuple(unlearned))


# --- networks ---------------------------------------------------------------------------------


def _network(estimator):
    """Return a network, or a function that makes one for given species."""
    from ._atomic_networks import factory

    model, params = estimator.model, dict(estimator.network_params or {})
    if isinstance(model, AtomTiling):
        if model.species is not None:
            raise TileModelError(
                "A potential needs an AtomTiling with species=None, since it makes one network per "
                f"species; got species={model.species!r}."
            )
        if model.context is not None:
            raise TileModelError(
                "The context of an AtomTiling is for models other than networks: use "
                "EDNNPotential(context=8), whose averages are learned."
            )
        model = model.descriptor
    if isinstance(model, (str, AbstractDescriptor)):
        return factory(model, estimator.cutoff, estimator.context or 0, params)
    if params or estimator.context:
        raise TileModelError(
            "context and network_params are for networks by name or descriptor. Pass them to the "
            "network itself."
        )
    return model


def _members_to_continue(estimator):
    """Return the fitted potentials from which the members continue."""
    fitted = members_of(estimator.potential_)
    if len(fitted) != estimator.n_members:
        raise TileModelError(
            f"warm_start continues {len(fitted)} fitted member(s), but n_members is "
            f"{estimator.n_members}. Set n_members={len(fitted)}, or warm_start=False."
        )
    return fitted


def _warn_if_uneven(epochs):
    """Warn if members that count alike in a mean were trained for very different epochs."""
    if max(epochs) > _UNEVEN * min(epochs):
        warnings.warn(
            f"The members were trained for {', '.join(map(str, epochs))} epochs: other programs "
            "slowed some of them down. With max_epochs instead of max_seconds all are trained "
            "alike.",
            ConvergenceWarning, stacklevel=outside_package(),
        )  # fmt: skip


def _trainers(estimator):
    """Yield a trainer for each member, each with a share of the time and a seed."""
    trainer, n_members = _trainer(estimator), estimator.n_members
    if n_members == 1:
        yield trainer
        return
    seeds = check_random_state(trainer.random_state).randint(2**31 - 1, size=n_members)
    seconds, callback = trainer.max_seconds, trainer.callback
    for k, seed in enumerate(seeds):
        params = {
            "random_state": int(seed),
            "max_seconds": None if seconds is None else seconds / n_members,
            "checkpoint": checkpoint_of(trainer.checkpoint, k, n_members),
        }
        if callback is not None:
            params["callback"] = MemberCallback(callback, k, n_members)
        yield clone(trainer).set_params(**params)


def _trainer(estimator):
    from ..solvers._potential import PotentialTrainer

    params: dict[str, Any] = {}
    if estimator.max_seconds is not None or estimator.max_epochs is not None:
        params |= {"max_seconds": estimator.max_seconds, "max_epochs": estimator.max_epochs}
    for name in ("atomic_energies", "checkpoint"):
        if getattr(estimator, name) is not None:
            params[name] = getattr(estimator, name)
    trainer = PotentialTrainer() if estimator.trainer is None else clone(estimator.trainer)
    if not isinstance(trainer, PotentialTrainer):
        raise TypeError(f"trainer must be a PotentialTrainer or None, got {estimator.trainer!r}.")
    if trainer.random_state is None:
        params["random_state"] = estimator.random_state
    if estimator.repulsion:
        params["repulsion"] = True
    if estimator.verbose:
        trainer.set_params(**params)
        seconds, n_members = trainer.max_seconds, estimator.n_members
        params["callback"] = Progress(
            trainer.callback, trainer.max_epochs,
            None if seconds is None else seconds / n_members, n_members, trainer.clock,
        )  # fmt: skip
    return trainer.set_params(**params)


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


def _seeded(model, estimator):
    params = {}
    if model.random_state is None:
        params["random_state"] = estimator.random_state
    if not model.verbose:
        params["verbose"] = estimator.verbose
    if estimator.warm_start:
        raise TileModelError(
            "warm_start is for networks only. Use warm_start=False; other models are fitted to all "
            "data again."
        )
    return model.set_params(**params)


def _gradients(data):
    """Return gradients of energies by positions and strain, None without labels."""
    out: list[dict | None] = []
    for k, (six, volume) in enumerate(zip(data.stress, data.structures.volumes, strict=True)):
        forces, gradients = data.forces_of(k), {}
        missing = np.isnan(forces)
        if missing.any() and not missing.all():
            raise TileModelError(
                f"{data.places[k]} has atoms without forces, and a linear model needs all of "
                "them or none: leave such structures out, or pass forces=False."
            )
        if not missing.any():
            gradients["positions"] = 0.0 - forces
        if not np.isnan(six).any():
            gradients["strain"] = _matrix(six) * volume
        out.append(gradients)
    return out if any(out) else None


def _checked_atomic(energies, species):
    energies = {} if energies is None else {int(n): float(e) for n, e in energies.items()}
    missing = [number for number in species if energies and number not in energies]
    if missing:
        raise TileModelError(f"atomic_energies needs an energy for the atomic numbers {missing}.")
    return energies


# --- images -----------------------------------------------------------------------------------


def _checked_pipeline(model):
    steps = [step for _, step in model.steps]
    if len(steps) != 2 or not isinstance(steps[0], GaussianRasterizer):
        raise TileModelError(
            "Expected a Pipeline of a GaussianRasterizer and an EDNNRegressor, got one of "
            f"{' and '.join(type(step).__name__ for step in steps)}."
        )
    return steps


def _require_channels(draw, regressor):
    """Raise if tiles take an axis of the images for channels, or channels for sites."""
    n_axes = 3 if draw.plane == "xyz" else 2
    for *_, tiling in regressor._terms() if hasattr(regressor, "_terms") else ():
        axis = getattr(tiling, "channel_axis", None)
        if draw.channels_ is None and axis is not None:
            raise TileModelError(
                f"The images have no axis of channels, but the tiling has channel_axis={axis}, "
                "which is an axis of space. Leave it at None, or set "
                'GaussianRasterizer(channels="species").'
            )
        if draw.channels_ is not None and axis not in (-1, n_axes):
            raise TileModelError(
                f"The images have a channel per species in the last axis: set "
                f"GridTiling(channel_axis=-1); got {axis}."
            )


def _drawn_gradients(draw, data, structures):
    forces = [data.forces_of(k) for k in range(len(structures))]
    missing = [k for k, values in enumerate(forces) if np.isnan(values).any()]
    if missing:
        raise TileModelError(
            f"A model of images needs the forces on all atoms of a structure, but "
            f"{data.places[missing[0]]} has atoms without forces. Leave such structures out, or "
            "pass forces=False."
        )
    strain = None
    if draw.adjust > 0 and data.labels["stress"]["known"]:
        strain = [
            None if np.isnan(values).any() else _matrix(values) * volume
            for values, volume in zip(data.stress, data.structures.volumes, strict=True)
        ]
    return draw.position_gradients(structures, forces, strain_gradients=strain)


def _matrix(six):
    xx, yy, zz, yz, xz, xy = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


# --- checks -----------------------------------------------------------------------------------


def _refuse(estimator, *names):
    given = [name for name in names if getattr(estimator, name) is not None]
    if given:
        raise TileModelError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for networks of atoms only; "
            f"leave at None for {with_article(type(estimator.model).__name__)}."
        )


def _refuse_members(estimator):
    if estimator.n_members > 1:
        raise TileModelError(
            f"n_members={estimator.n_members} is for networks of atoms only. Use n_members=1 here; "
            "EDNNCommittee makes a committee of other models."
        )


def _require_energies(data):
    missing = np.flatnonzero(np.isnan(data.energies))
    if missing.size:
        raise TileModelError(
            f"This model needs energies, but {data.places[missing[0]]} has none ({missing.size} "
            "such structure(s) in all). Leave them out, or use a network."
        )
