"""Monte Carlo of atoms: only the tiles that see a moved atom are evaluated again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval

from .._utils.seeding import generator
from ..atoms import GaussianRasterizer
from ..atoms._drawing import draw_fields, gradients_of
from ..atoms._gaussians import gaussians_near, nearest_pixel
from ..evaluation._local import checked_terms, running
from ..exceptions import TileModelError, TilingError
from ..fields._in_memory import as_array
from ._atom_tiles import AtomTileUpdates


class AtomUpdates:
    """The total of one structure, kept up to date while its atoms move one by one.

    A move changes the pixels near the atom, before and after. Only these are drawn, and only the
    tiles that see them are evaluated, so that a move takes the same time in a structure of any
    size.

    Parameters
    ----------
    model : Pipeline of a GaussianRasterizer and an EDNNRegressor; fitted
        With one total, and periodic tilings.
    structure : structure
        An `ase.Atoms`, a `sk_ednn.structures.Structure`, or another structure that the rasteriser
        accepts. It is copied.

    Raises
    ------
    TileModelError, TilingError, ValueError
        If the model or the structure is unsuitable.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.atoms import GaussianRasterizer
    >>> from sk_ednn.structures import Structure
    >>> from sk_ednn.simulation import AtomUpdates
    >>> rng = np.random.default_rng(0)
    >>> pairs = [Structure([6, 6], rng.random((2, 2)) * 4, [4.0, 4.0]) for _ in range(50)]
    >>> draw = GaussianRasterizer(0.25, 0.3, dtype="float64")
    >>> model = make_pipeline(draw, EDNNRegressor(tiling=GridTiling(4, 2)))
    >>> model = model.fit(pairs, rng.random(50))
    >>> local = AtomUpdates(model, pairs[0])
    >>> change = local.propose(1, [0.5, 3.9])
    >>> local.accept()
    >>> moved = Structure([6, 6], local.positions, [4.0, 4.0])
    >>> bool(np.isclose(local.total, model.predict([moved])[0]))
    True
    """

    def __init__(self, model, structure):
        steps = [step for _, step in getattr(model, "steps", [])]
        if len(steps) != 2 or not isinstance(steps[0], GaussianRasterizer):
            raise TileModelError(
                "Expected a fitted Pipeline of a GaussianRasterizer and an EDNNRegressor, got "
                f"{type(model).__name__}."
            )
        draw, regressor = steps
        terms = checked_terms(regressor)
        if regressor.n_outputs_ != 1:
            raise TileModelError(f"Expected one total, the model has {regressor.n_outputs_}.")
        if not draw._separable:
            raise TileModelError(
                "Moves of single atoms need fields in a plane with right angles that are "
                f"periodic along both axes. The rasteriser draws {draw.plane}, "
                f"periodic_={draw.periodic_}, angles_={draw.angles_}: evaluate whole "
                "structures with model.predict."
            )
        system = draw._gathered([structure])
        shape = draw._shapes(system.lengths)
        (self._drawn,) = gradients_of(draw, system, shape)
        self._width, self._cutoff = draw.width, draw.cutoff
        self._spacing = draw._spacings(system.lengths, shape)[0].tolist()
        # Copies, since the caller may change its arrays.
        self._vectors, self._positions = system.vectors[0].copy(), system.positions.copy()
        self._inverse = np.linalg.inv(self._vectors)
        drawn = draw_fields(draw, system, shape)[0]
        # In float64, so that taking Gaussians away leaves next to nothing behind.
        self._field = np.array(drawn, dtype=np.float64).reshape(*shape[0], -1)
        self._terms = [_Term(*term, drawn) for term in running(regressor, terms, [drawn])]
        self._proposed = None

    @property
    def positions(self) -> np.ndarray:
        """A copy of the current positions, (n_atoms, 2), in Å."""
        return self._positions.copy()

    @property
    def total(self) -> float:
        """The total of the current structure."""
        return math.fsum(x for term in self._terms for x in term.contributions.ravel())

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self._positions)

    def position(self, atom) -> np.ndarray:
        """Return a copy of the position of an atom, (2,), in Å."""
        return self._positions[atom].copy()

    def is_close(self, atom, position, distance) -> bool:
        """Return True if another atom is closer to a position than a distance, in Å."""
        away = np.delete(self._positions, atom, axis=0) - position
        away -= np.round(away @ self._inverse) @ self._vectors
        return bool(len(away) and (away**2).sum(axis=1).min() < distance**2)

    def propose(self, atom, position) -> float:
        """Return the change of the total if an atom were moved; nothing is changed.

        Parameters
        ----------
        atom : int
        position : array-like of shape (2,) or (3,), in Å
            New position, inside the cell or not. A third coordinate is not used.

        Raises
        ------
        ValueError
            If the position is not finite or there is no such atom. There is then no proposal.
        """
        self._proposed = None
        # A copy, since the caller may change its array.
        position = np.array(as_array(position, "position", np.float64))
        if position.shape not in ((2,), (3,)) or not np.isfinite(position).all():
            raise ValueError(f"Expected a finite position (x, y) in Å, got {position.tolist()}.")
        if not isinstance(atom, Integral) or not 0 <= int(atom) < len(self._positions):
            raise ValueError(f"Expected an atom from 0 to {len(self._positions) - 1}, got {atom}.")
        before, after = self._profiles(self._positions[atom]), self._profiles(position[:2])
        height, channel = self._drawn.heights[atom], self._drawn.channels[atom]
        evaluated = []
        for term in self._terms:
            boxes = [
                _tiles_that_see(b, a, length, *along)
                for b, a, length, along in zip(
                    before, after, self._drawn.shape, term.axes, strict=True
                )
            ]
            sites = np.ix_(*(box.sites for box in boxes))
            patch = self._field[sites]
            for sign, profiles in ((-1.0, before), (1.0, after)):
                x, y = (p.values[box.sites] for p, box in zip(profiles, boxes, strict=True))
                patch[..., channel] += sign * height * np.outer(x, y)
            tiles = np.ix_(*(box.tiles for box in boxes))
            evaluated.append((tiles, term.evaluate(patch)))
        self._proposed = atom, position[:2], before, after, evaluated
        return math.fsum(
            x
            for term, (tiles, contributions) in zip(self._terms, evaluated, strict=True)
            for x in (contributions - term.contributions[tiles]).ravel()
        )

    def accept(self) -> None:
        """Carry out the last proposal.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._proposed is None:
            raise ValueError("There is nothing to accept: call propose first.")
        atom, position, before, after, evaluated = self._proposed
        height, channel = self._drawn.heights[atom], self._drawn.channels[atom]
        for sign, profiles in ((-1.0, before), (1.0, after)):
            x, y = (np.flatnonzero(profile.values) for profile in profiles)
            drawn = np.outer(profiles[0].values[x], profiles[1].values[y])
            self._field[(*np.ix_(x, y), channel)] += sign * height * drawn
        for term, (tiles, contributions) in zip(self._terms, evaluated, strict=True):
            term.contributions[tiles] = contributions
        self._positions[atom] = position
        self._proposed = None

    def _profiles(self, position):
        """Return the drawn Gaussian of an atom at a position, for each axis."""
        scaled = position @ self._inverse
        centre = (scaled - np.floor(scaled)) * self._drawn.shape
        profiles = []
        for x, n, s in zip(centre, self._drawn.shape, self._spacing, strict=True):
            pixels, near, _ = gaussians_near(x[None], n, self._width / s, self._cutoff)
            values = np.zeros(n)
            np.add.at(values, pixels[0], near[0])
            profiles.append(_Profile(int(nearest_pixel(x)[0]), pixels.shape[1] // 2, values))
        return profiles


class AtomMetropolis(BaseEstimator):
    """Sample the positions of atoms from the Boltzmann distribution of a fitted model's totals.

    A sweep attempts as many moves as there are atoms, of atoms drawn at random, one after the
    other.

    Parameters
    ----------
    model : Pipeline of a GaussianRasterizer and an EDNNRegressor, or EDNNRegressor on AtomTiling
        Fitted.
    temperature : float
        In the units of the totals (k_B = 1): in eV, 0.0862 for 1,000 K.
    step : float, default=0.1, in Å
        Standard deviation of a move along each axis. An acceptance of 30 to 50 % is a common aim.
    closest : float, default=0.0, in Å
        Moves that bring an atom closer than this to another are rejected, since training data
        rarely contain overlapping atoms.
    random_state : int, RandomState or None, default=None

    See Also
    --------
    AtomUpdates : Custom moves.
    sk_ednn.atoms.EDNNCalculator : Molecular dynamics.

    References
    ----------
    N. Metropolis et al., J. Chem. Phys. 1953, 21, 1087.

    Examples
    --------
    Graphene at 1,000 K, for a moment:

    >>> from sk_ednn.datasets import load_sheets
    >>> from sk_ednn.pretrained import load_sheets_model
    >>> from sk_ednn.simulation import AtomMetropolis
    >>> sheet = load_sheets().structures[4]
    >>> sampler = AtomMetropolis(load_sheets_model("image"), 0.0862, step=0.05, random_state=0)
    >>> chain = sampler.run(sheet, 1)
    >>> chain.positions.shape
    (1, 60, 2)
    """

    _parameter_constraints = {
        "model": "no_validation",
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "step": [Interval(Real, 0, None, closed="neither")],
        "closest": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, model, temperature, *, step=0.1, closest=0.0, random_state=None):
        self.model = model
        self.temperature = temperature
        self.step = step
        self.closest = closest
        self.random_state = random_state

    def run(self, structure, n_sweeps, *, burn_in=0, interval=1):
        """Sample, and record every `interval` sweeps.

        Parameters
        ----------
        structure : structure
            Initial structure.
        n_sweeps : int
            Sweeps after the burn-in.
        burn_in : int, default=0
        interval : int, default=1
            Sweeps from one record to the next.

        Returns
        -------
        chain : Bunch
            energies : ndarray of shape (n_records,)
                Totals of the structure.
            positions : ndarray of shape (n_records, n_atoms, 2 or 3), in Å
                Not brought back into the cell.
            acceptance : float
                Share of the moves after the burn-in.
        """
        self._validate_params()
        for name, count, least in (
            ("n_sweeps", n_sweeps, 1), ("burn_in", burn_in, 0), ("interval", interval, 1)
        ):  # fmt: skip
            if not isinstance(count, Integral) or isinstance(count, bool) or count < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {count!r}.")
        rng = generator(self.random_state)
        updates = AtomUpdates if hasattr(self.model, "steps") else AtomTileUpdates
        local = updates(self.model, structure)
        n_atoms, n_axes = local.positions.shape
        energies, positions, accepted = [], [], 0
        for sweep in range(1, burn_in + n_sweeps + 1):
            moved = sum(self._try(local, rng) for _ in range(n_atoms))
            if sweep <= burn_in:
                continue
            accepted += moved
            if (sweep - burn_in) % interval == 0:
                energies.append(local.total)
                positions.append(local.positions)
        return Bunch(
            energies=np.array(energies),
            positions=np.array(positions).reshape(-1, n_atoms, n_axes),
            acceptance=accepted / (n_sweeps * n_atoms),
        )

    def _try(self, local, rng) -> bool:
        atom = int(rng.integers(local.n_atoms))
        now = local.position(atom)
        position = now + self.step * rng.normal(size=len(now))
        chance = rng.random()
        if self.closest > 0 and local.is_close(atom, position, self.closest):
            return False
        cost = local.propose(atom, position)
        if chance >= math.exp(-max(cost, 0.0) / self.temperature):
            return False
        local.accept()
        return True


@dataclass(frozen=True)
class _Profile:
    """A Gaussian along an axis: its nearest pixel, how far it reaches, and all its values."""

    pixel: int
    reach: int
    values: np.ndarray


@dataclass(frozen=True)
class _Box:
    """Tiles along an axis, and the pixels they see, in their order."""

    tiles: np.ndarray
    sites: np.ndarray


def _tiles_that_see(before, after, length, focus, context) -> _Box:
    n_tiles = length // focus
    # The shorter way around.
    way = (after.pixel - before.pixel + length // 2) % length - length // 2
    low = before.pixel + min(way, 0) - before.reach
    high = before.pixel + max(way, 0) + before.reach
    first = -((focus + context - 1 - low) // focus)
    count = (high + context) // focus - first + 1
    if count >= n_tiles or high - low + 1 >= length:
        first, count = 0, n_tiles
    sites = np.arange(first * focus - context, (first + count) * focus + context) % length
    return _Box(np.arange(first, first + count) % n_tiles, sites)


class _Term:
    """One term of the sum, and the contributions of its tiles."""

    def __init__(self, tile_model, tiling, evaluation, field):
        if not tiling.is_grid or tiling.boundary != "periodic":
            raise TilingError(
                f"Cells of atoms are periodic: expected a periodic tiling, got {tiling!r}."
            )
        self._tile_model, self._tiling = tile_model, tiling
        self._shape, self._dtype = field.shape, field.dtype
        self.axes = [(focus, context) for _, focus, context in tiling._axes(field.shape)]
        (contributions,) = evaluation.contributions(tile_model, tiling, tiling.check(field[None]))
        self.contributions = contributions[0, ..., 0]
        self._dense = tile_model.has_dense_form(tiling)

    def evaluate(self, patch):
        """Return the contributions of the tiles of a region, from all the pixels that they see."""
        patch = patch.astype(self._dtype).reshape(*patch.shape[:2], *self._shape[2:])[None]
        tiles = self._tiling.windows(patch, self._shape)
        grid = tiles.shape[1:3]
        if not self._dense:
            tiles = tiles.reshape(-1, *self._tile_model.tile_shape)
            return self._tile_model.predict(tiles).reshape(grid)
        contributions = self._tile_model.dense_predict(patch, self._tiling)
        if self._tile_model.baseline is not None:
            contributions = contributions + self._tile_model.baseline.predict(tiles)
        return contributions.reshape(grid)
