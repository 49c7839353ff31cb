"""Metropolis sampling of lattice fields with the energies of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from tqdm.auto import tqdm

from .._utils.seeding import generator
from ..evaluation._local import checked_terms
from ..exceptions import TileModelError, TilingError
from ..fields._axis_labels import compare_labels_and_unit
from ..fields._fields import check_fields
from ..fields._in_memory import as_array
from ._replicas import Replicas, check_values, states_of
from ._site_codes import SiteCodes, parted, require_axes


@dataclass(frozen=True)
class Chain:
    """Records of a Monte Carlo run.

    Attributes
    ----------
    temperatures : ndarray of shape (n_temperatures,)
        In units of energy (k_B = 1), in the given order.
    energies : ndarray of shape (n_records, n_temperatures, n_replicas)
        Totals of the model, float64.
    magnetisations : ndarray of shape (n_records, n_temperatures, n_replicas[, n_channels])
        Sums of the values of all sites, float64. With an encoder, of their channels: numbers of
        sites with each label in ascending order, or sums of cosines and sines.
    value_sums : ndarray of shape (n_records, n_temperatures, n_replicas), or None
        Sums of the values of all sites, also of labels as numbers: the magnetisation of spins of
        -1, 0 and 1 with a channel for each. None for angles, and for sites with several channels.
    observables : dict of ndarray of shape (n_records, n_temperatures, n_replicas, ...)
        Results of the user's functions.
    acceptance : ndarray of shape (n_temperatures,)
        Mean of min(1, exp(-change / temperature)) over all moves tried after the burn-in. Exchanges
        of equal values, which change nothing, are not counted; NaN if there were no others.
    swap_acceptance : ndarray of shape (n_temperatures - 1,)
        The same for swaps between a temperature and the next. NaN if none was attempted.
    fields : ndarray of shape (n_temperatures, n_replicas, *field_shape)
        The last fields, from which to continue.
    """

    temperatures: np.ndarray
    energies: np.ndarray
    magnetisations: np.ndarray
    acceptance: np.ndarray
    swap_acceptance: np.ndarray
    fields: np.ndarray
    observables: dict[str, np.ndarray] = field(default_factory=dict)
    value_sums: np.ndarray | None = None


class Metropolis(BaseEstimator):
    """Sample fields from the Boltzmann distribution of a fitted model's totals.

    The sites of a field take values from a finite set: spins, occupancies, species. Sites so far
    apart that no tile sees two of them are updated together, for all replicas at once. Which sites
    these are depends only on the focus and the context of the tilings, and detailed balance holds
    exactly.

    Parameters
    ----------
    model : EDNNRegressor, or Pipeline that ends in one
        Fitted, with one output, the energy. In a Pipeline, the first step may be an encoder of
        single sites, `OneHotFields` or `AngleFields`: then fields, `values` and ``Chain.fields``
        contain labels or angles.
    temperature : float or array-like of shape (n_temperatures,), default=1.0
        Positive, in the units of the energy (k_B = 1). `numpy.inf` accepts every move.
    values : array-like of shape (n_values,) or (n_values, n_channels), default=None
        Values that a site may take. None for those of the starting fields.
    moves : {"change", "exchange"}, default="change"
        Change a site to another of the values (for two values, a spin flip), or exchange the values
        of two neighbouring sites (Kawasaki), which conserves the number of sites with each value.
    n_replicas : int, default=1
        Independent systems for each temperature.
    swap_interval : int or None, default=None
        Parallel tempering: number of sweeps between attempts to swap replicas of neighbouring
        temperatures. None for no swaps. Sort the temperatures, so that neighbours are close.
    random_state : int, RandomState or None, default=None
        With an int, every call of `run` gives the same chain; to continue a chain, pass a
        RandomState or another int.
    verbose : int, default=0
        Whether to show a progress bar, if a run takes more than two seconds.
    max_states : int, default=2**22
        Largest table of contributions, with 8 bytes for each state of a tile. Tiles with more
        states are evaluated, or their pairs of sites are tabulated; see Notes.

    See Also
    --------
    sk_ednn.evaluation.LocalUpdates : Custom moves in one field.
    sk_ednn.datasets.make_ising : Independent samples of Ising systems with their exact energies.

    Notes
    -----
    A sweep visits each site (each pair of neighbours) once, sublattice by sublattice, in a random
    order of sublattices. Moves are accepted with probability
    ``0.9 min(1, exp(-change / temperature))``: the factor does not change the distribution, and
    allows hot systems to reach all states.

    If a tile has at most `max_states` states, contributions are tabulated when they are first
    needed, and changes are looked up by the numbers of the states. If all tile models are
    polynomials of second degree in periodic fields, such as `PolynomialFeatures` and `Ridge`, terms
    of pairs of sites are tabulated instead. Otherwise tiles are evaluated as in
    `sk_ednn.evaluation.LocalUpdates`.

    Energies are summed again for each record, so that rounding errors do not accumulate.

    References
    ----------
    N. Metropolis et al., J. Chem. Phys. 1953, 21, 1087. K. Kawasaki, Phys. Rev. 1966, 145, 224.
    K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 1996, 65, 1604 (replica exchange).

    Examples
    --------
    Trained on totals of 8 x 8 spins, run on 32 x 32. Onsager's energy per site of the infinite
    lattice is -0.8173 J at T = 3:

    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.simulation import Metropolis
    >>> small = make_ising(500, (8, 8), random_state=0)
    >>> model = EDNNRegressor().fit(small.fields, small.energies)
    >>> sampler = Metropolis(model, 3.0, values=[-1, 1], n_replicas=20, random_state=0)
    >>> chain = sampler.run(np.ones((32, 32), dtype=np.int8), 100, burn_in=50)
    >>> chain.energies.shape
    (100, 1, 20)
    >>> print(f"{chain.energies.mean() / 32**2:.2f}")
    -0.82
    """

    _parameter_constraints = {
        "model": "no_validation",
        "temperature": "no_validation",
        "values": ["array-like", None],
        "moves": [StrOptions({"change", "exchange"})],
        "n_replicas": [Interval(Integral, 1, None, closed="left")],
        "swap_interval": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "max_states": [Interval(Integral, 1, None, closed="left")],
    }
    # A progress bar appears after this time; before, it is only noise.
    _delay_seconds = 2.0

    def __init__(
        self,
        model,
        temperature=1.0,
        *,
        values=None,
        moves="change",
        n_replicas=1,
        swap_interval=None,
        random_state=None,
        verbose=0,
        max_states=2**22,
    ):
        self.model = model
        self.temperature = temperature
        self.values = values
        self.moves = moves
        self.n_replicas = n_replicas
        self.swap_interval = swap_interval
        self.random_state = random_state
        self.verbose = verbose
        self.max_states = max_states

    def run(self, fields, n_sweeps, *, burn_in=0, interval=1, observables=None) -> Chain:
        """Sample, and record every `interval` sweeps.

        Parameters
        ----------
        fields : array-like of shape field_shape or (n_temperatures, n_replicas, *field_shape)
            Initial fields: one for all replicas, or one for each, as in `Chain.fields`.
        n_sweeps : int
            Sweeps after the burn-in. Each tries as many moves as there are sites (for exchanges,
            pairs of neighbours).
        burn_in : int, default=0
            Sweeps before anything is recorded.
        interval : int, default=1
            Sweeps from one record to the next; ``n_sweeps // interval`` records are made.
        observables : dict of callable, default=None
            By name, functions that take fields (n, *field_shape) and return (n, ...).

        Returns
        -------
        Chain

        Raises
        ------
        TilingError, TileModelError, ValueError
            If the fields do not suit the model or contain a value that is not in `values`, or if a
            parameter is invalid.
        """
        self._validate_params()
        temperatures = _check_temperatures(self.temperature)
        for name, count, least in (
            ("n_sweeps", n_sweeps, 1),
            ("burn_in", burn_in, 0),
            ("interval", interval, 1),
        ):
            if not isinstance(count, Integral) or isinstance(count, bool) or count < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {count!r}.")
        if interval > n_sweeps:
            raise ValueError(
                f"interval={interval} is longer than n_sweeps={n_sweeps}: nothing would be "
                "recorded."
            )
        rng = generator(self.random_state)
        system = self._system(fields, temperatures)
        recorder = _Recorder(observables or {})
        swaps = _Swaps(len(temperatures))
        tried = np.zeros((2, len(temperatures)))
        with tqdm(
            total=burn_in + n_sweeps,
            desc="Monte Carlo",
            unit="sweep",
            delay=self._delay_seconds,
            disable=not self.verbose,
        ) as bar:
            for step in range(1, burn_in + n_sweeps + 1):
                counts = system.sweep(rng)
                recording = step > burn_in
                if recording:
                    tried += counts
                if self.swap_interval and step % self.swap_interval == 0:
                    swaps.attempt(system, rng, recording)
                if recording and (step - burn_in) % interval == 0:
                    recorder.record(system)
                bar.update()
        with np.errstate(invalid="ignore"):
            acceptance = tried[0] / tried[1]
        magnetisations = np.array(recorder.magnetisations)
        encoder, _ = parted(self.model)
        if encoder is not None:
            value_sums = encoder._sums_of_values(magnetisations)
        else:
            value_sums = magnetisations if magnetisations.ndim == 3 else None
        return Chain(
            temperatures,
            np.array(recorder.energies),
            magnetisations,
            acceptance,
            swaps.acceptance,
            system.fields(),
            {name: np.array(values) for name, values in recorder.observed.items()},
            value_sums,
        )

    def _system(self, fields, temperatures) -> Replicas:
        encoder, model = parted(self.model)
        terms = checked_terms(model)
        if model.n_outputs_ != 1:
            raise TileModelError(
                f"Metropolis needs a model of one total, the energy; this one was fitted to "
                f"{model.n_outputs_}."
            )
        fields = as_array(fields, "fields")
        lead = (len(temperatures), self.n_replicas)
        one_for_all = fields.ndim != model._field_ndim - (encoder is not None) + 2
        if not one_for_all and fields.shape[:2] != lead:
            raise TilingError(
                f"fields must start with (n_temperatures, n_replicas) = {lead}, or be one field "
                f"for all; got shape {fields.shape}."
            )
        batch = fields[None] if one_for_all else fields.reshape(-1, *fields.shape[2:])
        values, codes = self.values, None
        if encoder is not None:
            require_axes(encoder, batch)
            check_fields(batch)
            compare_labels_and_unit(encoder, fields)
            flat = batch.reshape(len(batch), -1)
            codes = SiteCodes.of(encoder, check_values(values, flat))
            # By number, since the channels of equal angles may differ in their last bits.
            batch = codes.channels[states_of(flat, codes.values)].reshape(*batch.shape, -1)
            values = codes.channels
        # As separate fields, which may be of another width than those of the fit.
        checked = replace(check_fields(batch), ragged=True)
        start = model.check_systems(checked).stacks[0].values
        if one_for_all:
            start = np.broadcast_to(start, (lead[0] * lead[1], *start.shape[1:]))
        return Replicas(
            model, terms, start, values, self.moves, temperatures, self.max_states,
            shown=None if codes is None else codes.values,
        )  # fmt: skip


class _Swaps:
    """Replica exchange between neighbouring temperatures, even and odd pairs by turns."""

    def __init__(self, n_temperatures):
        self._sums = np.zeros((2, max(n_temperatures - 1, 0)))
        self._first = 0

    def attempt(self, system, rng, counted) -> None:
        energies = system.energies()
        lower = np.arange(self._first, len(energies) - 1, 2)
        self._first = 1 - self._first
        gain = (system.beta[lower + 1] - system.beta[lower])[:, None] * (
            energies[lower + 1] - energies[lower]
        )
        probability = np.exp(np.minimum(gain, 0))
        swapped = rng.random(gain.shape) < probability
        one, other = system.column[lower], system.column[lower + 1]
        system.column[lower] = np.where(swapped, other, one)
        system.column[lower + 1] = np.where(swapped, one, other)
        if counted:
            self._sums[0, lower] += probability.sum(axis=1)
            self._sums[1, lower] += gain.shape[1]

    @property
    def acceptance(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return self._sums[0] / self._sums[1]


class _Recorder:
    """Energies, magnetisations and the user's observables, record by record."""

    def __init__(self, observables):
        for name, function in observables.items():
            if not callable(function):
                raise ValueError(f"Observable {name!r} must be a function, got {function!r}.")
        self._functions = observables
        self.energies: list[np.ndarray] = []
        self.magnetisations: list[np.ndarray] = []
        self.observed: dict[str, list[np.ndarray]] = {name: [] for name in observables}

    def record(self, system) -> None:
        self.energies.append(system.energies())
        self.magnetisations.append(system.magnetisations())
        if not self._functions:
            return
        fields = system.fields()
        lead = fields.shape[:2]
        for name, function in self._functions.items():
            # Copies, in and out: a function may write to its argument, or return a buffer that it
            # fills again.
            result = np.array(function(fields.reshape(-1, *fields.shape[2:]).copy()))
            if result.shape[:1] != (lead[0] * lead[1],):
                raise ValueError(
                    f"Observable {name!r} must return one row for each of the "
                    f"{lead[0] * lead[1]} fields it is given; it returned shape {result.shape}."
                )
            self.observed[name].append(result.reshape(*lead, *result.shape[1:]))


def _check_temperatures(temperature) -> np.ndarray:
    values = np.atleast_1d(
        as_array(temperature, "temperature", expected="a number, or one for each of some systems")
    )
    if values.ndim > 1 or values.dtype.kind not in "iuf" or not values.size:
        raise ValueError(
            f"temperature must be a number, or one for each of some systems; got {temperature!r}."
        )
    if not np.all(values > 0):
        raise ValueError(
            f"Temperatures must be positive, in units of energy (k_B = 1); got {temperature!r}."
        )
    return values.astype(np.float64)
