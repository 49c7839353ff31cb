"""A search for structures of low energy: its parameters, its start and its resumption."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

from .._utils.locking import Lock
from .._utils.stacklevel import outside_package
from .._utils.wording import with_article
from ..exceptions import DataWarning
from ._driver import Driver
from ._labellers import AbstractLabeller
from ._store import SearchStore
from ._tasks import pools_of

_THICKNESS = 3.0  # Å
_OF_RUN = {
    "n_labels": [Interval(Integral, 1, None, closed="left")],
    "target": [Interval(Real, None, None, closed="neither"), None],
    "max_seconds": [Interval(Real, 0, None, closed="right"), None],
}


class StructureSearch:
    """Find the structure of lowest energy with few calls of a reference method.

    A genetic algorithm generates structures and relaxes them on a surrogate, which is trained
    during the search. The reference method labels structures that may have the lowest energy, and
    those on which the committee of the surrogate disagrees most. Energies of different surrogates
    are never compared: parents are chosen by energies of the reference method, and each new
    surrogate predicts all waiting candidates again.

    Parameters
    ----------
    composition : str, dict or list of either
        Such as ``"Si8"`` or ``{"Ti": 2, "O": 4}``: the atoms of a cell or cluster, without those of
        a substrate. With a list, the search is for the convex hull over its compositions; large
        cells and elements get more of it.
    labeller : AbstractLabeller or GuardedLabeller
        The reference method. It is wrapped in a `GuardedLabeller` with `sanity`, unless it is one.
    surrogate : AbstractSurrogate, default=None
        Such as `CommitteeSurrogate`. None for ``LinearCommittee()``.
    store : path-like
        File of the search, see `SearchStore`.
    kind : {"crystal", "cluster", "sheet", "surface"}, default="crystal"
        Periodic along all axes, with a variable cell; free; periodic along the first two axes,
        which vary; or on a substrate.
    volume : float, default=None, in Å³ per atom
        Volume of random structures; None for an estimate from covalent radii.
    substrate : ase.Atoms or Structure, default=None
        For surfaces: a slab whose atoms do not move, with vacuum along its third axis.
    thickness : float, default=3.0, in Å
        Thickness of random sheets, and of random layers on a substrate.
    starts : {"random", "symmetric"}, default="random"
        Random packings, or structures with a random space group, layer group or, for clusters,
        point group, which are also made and relaxed during the search. Crystals and sheets need
        pyxtal.
    initial_structures : sequence of ase.Atoms or Structure, default=()
        Your own, of any of the compositions, which are labelled first.
    n_initial : int, default=20
        Number of structures that are labelled first: `initial_structures`, then random ones.
    retrain_every : int, default=10
        Number of labels between two fits of the surrogate. It is fitted at once if the error of an
        energy exceeds ten times the limit for doubtful ones.
    candidates_per_label : int, default=4
        Number of relaxed structures from which one is chosen.
    loss_weights : LossWeights, default=None
        Weights of labels by the errors of the previous surrogate.
    sanity : Sanity, default=None
        None: distances of atoms are at least 0.6 times the sum of their covalent radii.
    pool_size : int, default=20
    max_doubt : float, default=3.0
        A relaxation stops if the spread exceeds this multiple of the 90 % quantile of held-out
        errors. With 1, nearly all relaxations stopped far from a minimum.
    max_steps : int, default=100
        Steps of a relaxation.
    patience : int, default=200
        Number of consecutive relaxations without a new structure after which the search ends.
    random_state : int, default=0

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller, StructureSearch
    >>> with TemporaryDirectory() as folder:
    ...     search = StructureSearch(
    ...         "Cu2",
    ...         CalculatorLabeller(EMT),
    ...         store=Path(folder) / "cu.db",
    ...         volume=12.0,
    ...         n_initial=8,
    ...         retrain_every=4,
    ...     )
    ...     found = search.run(16)
    >>> bool(found.energy < found.energies[:6].min())  # lower than all random starts
    True
    """

    _parameter_constraints = {
        "volume": [Interval(Real, 0, None, closed="neither"), None],
        "thickness": [Interval(Real, 0, None, closed="neither")],
        "starts": [StrOptions({"random", "symmetric"})],
        "n_initial": [Interval(Integral, 1, None, closed="left")],
        "retrain_every": [Interval(Integral, 1, None, closed="left")],
        "candidates_per_label": [Interval(Integral, 1, None, closed="left")],
        "pool_size": [Interval(Integral, 1, None, closed="left")],
        "max_doubt": [Interval(Real, 0, None, closed="right")],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self, composition, labeller, surrogate=None, *, store, kind="crystal", volume=None,
        substrate=None, thickness=_THICKNESS, starts="random", initial_structures=(), n_initial=20,
        retrain_every=10, candidates_per_label=4, loss_weights=None, sanity=None, pool_size=20,
        max_doubt=3.0, max_steps=100, patience=200, random_state=0,
    ):  # fmt: skip
        self.composition = composition
        self.labeller = labeller
        self.surrogate = surrogate
        self.store = store
        self.kind = kind
        self.volume = volume
        self.substrate = substrate
        self.thickness = thickness
        self.starts = starts
        self.initial_structures = initial_structures
        self.n_initial = n_initial
        self.retrain_every = retrain_every
        self.candidates_per_label = candidates_per_label
        self.loss_weights = loss_weights
        self.sanity = sanity
        self.pool_size = pool_size
        self.max_doubt = max_doubt
        self.max_steps = max_steps
        self.patience = patience
        self.random_state = random_state

    def run(self, n_labels, client=None, *, n_workers=1, target=None, max_seconds=None):
        """Start a new search.

        Parameters
        ----------
        n_labels : int
            Maximum number of calls of the labeller, including failed ones.
        client : distributed.Client, concurrent.futures.Executor or dict of them, default=None
            Runs the tasks. A dict has one for each kind of task: "relax", "label" and "train". None
            for threads of this process.
        n_workers : int or dict, default=1
            Number of simultaneous labels, and of relaxations; ``{"relax": 2, "label": 16}`` for
            different numbers. With 1 and without a client, tasks run one after the other, so that
            the search is reproducible.
        target : float, default=None, in eV per atom
            Energy at which the search ends.
        max_seconds : float, default=None
            No task is started after this time.

        Returns
        -------
        SearchResult

        Raises
        ------
        ValueError
            If the file already contains a search.
        """
        identity, method = self._checked(n_labels, target, max_seconds), self._method()
        with SearchStore(self.store) as store, self._alone():
            if store.counts() != {"queued": 0, "labelled": 0, "failed": 0}:
                raise ValueError(
                    f"{self.store} contains a search. Continue it with resume(), or use "
                    "another file."
                )
            store.set("search", identity)
            store.set("method", method)
            return self._run(store, n_labels, client, n_workers, target, max_seconds)

    def resume(self, n_labels, client=None, *, n_workers=1, target=None, max_seconds=None):
        """Continue a search that has ended or was killed; for the parameters see `run`.

        Finished labels are kept; labels in progress are computed again.

        Returns
        -------
        SearchResult

        Raises
        ------
        ValueError
            If the file contains no search, one of another composition or kind, one with labels of
            another reference method, or one that is running. Other settings of the method cause a
            warning.
        """
        now, method = self._checked(n_labels, target, max_seconds), self._method()
        with SearchStore(self.store) as store, self._alone():
            before = store.get("search")
            if before is None:
                raise ValueError(f"{self.store} contains no search. Start one with run().")
            if before != now and not any(store.counts().values()):
                store.set("search", now)  # nothing was begun, such as after a missing library
            elif before != now:
                raise ValueError(
                    f"{self.store} contains a search of {before}, this one is of {now}."
                )
            self._compare_methods(store, method)
            return self._run(store, n_labels, client, n_workers, target, max_seconds)

    def _checked(self, n_labels, target, max_seconds) -> dict:
        """Raise if a parameter is invalid; return the settings that its store must have."""
        validate_parameter_constraints(self._parameter_constraints, vars(self), type(self).__name__)
        given = {"n_labels": n_labels, "target": target, "max_seconds": max_seconds}
        validate_parameter_constraints(_OF_RUN, given, "run")
        if self.kind in ("crystal", "cluster") and self.thickness != _THICKNESS:
            raise ValueError(
                f'thickness={self.thickness:g} is for kind="sheet" and kind="surface"; '
                f'leave it out for kind="{self.kind}".'
            )
        return self._identity()

    def _identity(self) -> dict:
        from ._ase_ga import KINDS, compositions_of

        if self.kind not in KINDS:
            raise ValueError(f"Expected a kind of {', '.join(KINDS)}, got {self.kind!r}.")
        numbers = [one.tolist() for one in compositions_of(self.composition)]
        identity = {"numbers": numbers[0] if len(numbers) == 1 else numbers, "kind": self.kind}
        if self.substrate is not None:
            identity["substrate"] = np.asarray(self.substrate.numbers).tolist()
        return identity

    def _method(self) -> list:
        labeller = getattr(self.labeller, "labeller", self.labeller)
        if not isinstance(labeller, AbstractLabeller):
            raise TypeError(
                f"labeller must be an AbstractLabeller, such as CalculatorLabeller(EMT); got "
                f"{with_article(type(labeller).__name__)}."
            )
        method = labeller.method()
        return [method.name, method.settings]

    def _compare_methods(self, store, method):
        """Raise if the labels of a store are those of another method, warn of other settings."""
        (before, given), (now, settings) = store.get("method") or (None, None), method
        if before is None or not store.counts()["labelled"]:
            store.set("method", [now, settings])
        elif now is None:
            return  # which may be the former
        elif before != now:
            raise ValueError(
                f"The labels in {self.store} were made by {before}, and those of this search would "
                f"be made by {now}. Energies of two methods cannot be compared: use the former, or "
                "start a search in another file."
            )
        elif given is not None and given != settings:
            warnings.warn(
                f"The labels in {self.store} were made by {before} with other settings. If "
                "energies depend on them, they cannot be compared: start a search in another file.",
                DataWarning,
                stacklevel=outside_package(),
            )

    @contextmanager
    def _alone(self):
        """Lock the store, so that no second search labels the same structures."""
        try:
            lock = Lock(self.store)
        except BlockingIOError as error:
            raise ValueError(
                f"{self.store} is the store of a search that is running, in {error}. Wait until it "
                "ends, or stop it: sk-ednn search stop."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _run(self, store, n_labels, client, n_workers, target, max_seconds):
        with pools_of(client, n_workers) as pools:
            driver = Driver(self, store, pools, n_labels, target, max_seconds)
            return driver.run()
