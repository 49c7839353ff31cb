"""The loop: relax on the surrogate, label what is worth it, learn, never wait."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from ._fingerprint import Fingerprint
from ._hull import ConvexHull
from ._label import Sanity, as_structure
from ._labellers import GuardedLabeller
from ._linear import LinearCommittee
from ._operators import OperatorRecord
from ._pool import Member, StructurePool
from ._pools import label_task, pools_of, relax_task, train_task
from ._selection import Candidate, Thresholds, is_known, select
from ._store import SearchStore

# s between two looks at the commands while tasks run.
_LOOK = 0.5
# A label that a lost worker took with it is asked for so many times.
_MOST_ATTEMPTS = 2


@dataclass(frozen=True)
class HullPoint:
    """The best structure of a composition that no mixture of others beats.

    Attributes
    ----------
    composition : dict of int to int
        Number of atoms of each atomic number.
    structure : Structure
    energy : float, in eV per atom
    """

    composition: dict
    structure: object
    energy: float


@dataclass(frozen=True)
class SearchResult:
    """How a search ended.

    Attributes
    ----------
    structure : Structure or None
        Of the lowest energy per atom; None where no label succeeded.
    energy : float
        In eV per atom, by the labeller.
    n_labels : int
        Calls of the labeller, failed ones included.
    energies : ndarray of shape (n_labelled,)
        In eV per atom, in the order in which structures were chosen.
    reason : {"labels", "target", "time", "stopped", "exhausted"}
    hull : list of HullPoint
        The convex hull of energies over compositions; one point where there is one composition.
    """

    structure: object
    energy: float
    n_labels: int
    energies: np.ndarray
    reason: str
    hull: list


class StructureSearch:
    """Find the structure of lowest energy with few calls of a reference method.

    A genetic algorithm makes structures and relaxes them on a surrogate that learns meanwhile.
    Those that may be lowest, and those on which the surrogate's committee disagrees most, are
    labelled by the reference method. Energies of different surrogates are never compared: parents
    are chosen by energies of the reference method, and what waits for a choice is predicted anew
    by each surrogate.

    Parameters
    ----------
    composition : str, dict or list of either
        Such as ``"Si8"`` or ``{"Ti": 2, "O": 4}``: the atoms of a cell or cluster, those of a
        substrate not included. With a list the convex hull over its compositions is searched for.
    labeller : AbstractLabeller or GuardedLabeller
        The reference method; one that is not guarded becomes so, with `sanity`.
    surrogate : LinearCommittee or CommitteeSurrogate, default=None
        None for ``LinearCommittee()``.
    store : path-like
        File of the search, see `SearchStore`.
    kind : {"crystal", "cluster", "sheet", "surface"}, default="crystal"
        Repeating along all axes, in a cell that varies; free; repeating along the first two axes,
        which vary; or on a substrate.
    volume : float, default=None, in Å³ per atom
        Of random starts; None for a guess by covalent radii.
    substrate : ase.Atoms or Structure, default=None
        For surfaces: a slab whose atoms do not move, with vacuum along its third axis.
    thickness : float, default=3.0, in Å
        Of random sheets, and of random layers on a substrate.
    n_initial : int, default=20
        Random structures that are labelled first.
    retrain_every : int, default=10
        Labels after which the surrogate is fitted anew; at once where an energy is off by more
        than ten times what is doubtful.
    candidates_per_label : int, default=4
        Relaxed structures among which one is chosen.
    loss_weights : LossWeights, default=None
        Weigh labels by the errors of the last surrogate, too.
    sanity : Sanity, default=None
        None: atoms keep 0.6 times the sum of their covalent radii apart.
    pool_size : int, default=20
    max_doubt : float, default=3.0
        A relaxation ends where the spread is so many times that below which nine tenths of the
        held-out errors are. With 1 nearly all ended far from a minimum.
    max_steps : int, default=100
        Of a relaxation.
    patience : int, default=200
        Relaxations in a row that bring nothing new, after which the search ends.
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

    def __init__(
        self, composition, labeller, surrogate=None, *, store, kind="crystal", volume=None,
        substrate=None, thickness=3.0, n_initial=20, retrain_every=10, candidates_per_label=4,
        loss_weights=None, sanity=None, pool_size=20, max_doubt=3.0, max_steps=100,
        patience=200, random_state=0,
    ):  # fmt: skip
        self.composition = composition
        self.labeller = labeller
        self.surrogate = surrogate
        self.store = store
        self.kind = kind
        self.volume = volume
        self.substrate = substrate
        self.thickness = thickness
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
        """Search from nothing.

        Parameters
        ----------
        n_labels : int
            Calls of the labeller after which the search ends; failed ones count.
        client : distributed.Client, concurrent.futures.Executor or dict of them, default=None
            Where tasks run. A dict has one for each kind of task: "relax", "label" and "train".
            None for threads of this process.
        n_workers : int or dict, default=1
            Labels, and relaxations, at the same time; ``{"relax": 2, "label": 16}`` for different
            numbers. 1 without a client: one task after the other, so that a seed gives one search.
        target : float, default=None, in eV per atom
            Energy at which the search ends.
        max_seconds : float, default=None
            Past them no task is started.

        Returns
        -------
        SearchResult

        Raises
        ------
        ValueError
            Where the file has a search in it.
        """
        with SearchStore(self.store) as store:
            if store.counts() != {"queued": 0, "labelled": 0, "failed": 0}:
                raise ValueError(
                    f"{self.store} contains a search. Continue it by resume(), or give another "
                    "file."
                )
            store.set("search", self._identity())
            return self._run(store, n_labels, client, n_workers, target, max_seconds)

    def resume(self, n_labels, client=None, *, n_workers=1, target=None, max_seconds=None):
        """Continue a search that ended or was killed; parameters are those of `run`.

        Labels that were finished are kept, those that ran are asked for again.

        Returns
        -------
        SearchResult

        Raises
        ------
        ValueError
            Where the file has no search in it, or one of another composition or kind.
        """
        with SearchStore(self.store) as store:
            before, now = store.get("search"), self._identity()
            if before is None:
                raise ValueError(f"{self.store} contains no search. Begin one by run().")
            if before != now:
                raise ValueError(
                    f"{self.store} contains a search of {before}, this one is of {now}."
                )
            return self._run(store, n_labels, client, n_workers, target, max_seconds)

    def _identity(self) -> dict:
        from ._ase_ga import KINDS, compositions_of

        if self.kind not in KINDS:
            raise ValueError(f"Expected a kind of {', '.join(KINDS)}, got {self.kind!r}.")
        numbers = [one.tolist() for one in compositions_of(self.composition)]
        identity = {"numbers": numbers[0] if len(numbers) == 1 else numbers, "kind": self.kind}
        if self.substrate is not None:
            identity["substrate"] = np.asarray(self.substrate.numbers).tolist()
        return identity

    def _run(self, store, n_labels, client, n_workers, target, max_seconds):
        with pools_of(client, n_workers) as pools:
            driver = _Driver(self, store, pools, n_labels, target, max_seconds)
            return driver.run()


@dataclass
class _Group:
    """What makes structures of one composition, and the best ones so far."""

    operators: Any
    pool: StructurePool


class _Driver:
    """One run of a search: the state that follows from the store, and the tasks on their way."""

    def __init__(self, search, store, pools, n_labels, target, max_seconds):
        from ._ase_ga import Operators, compositions_of

        self.search, self.store, self.pools = search, store, pools
        self.n_labels, self.target = n_labels, target
        self.end = None if max_seconds is None else pools.now() + max_seconds
        substrate = None if search.substrate is None else as_structure(search.substrate)
        self.groups = {}
        for numbers in compositions_of(search.composition):
            operators = Operators(
                numbers, search.kind, volume=search.volume, substrate=substrate,
                thickness=search.thickness,
            )  # fmt: skip
            pool = StructurePool(search.pool_size)
            self.groups[tuple(operators.numbers.tolist())] = _Group(operators, pool)
        self.n_fixed = 0 if substrate is None else len(substrate.numbers)
        if target is not None and len(self.groups) > 1:
            raise ValueError("A target needs one composition: hulls have no single energy.")
        shortest = min(group.operators.shortest(0.6) for group in self.groups.values())
        self.sanity = search.sanity or Sanity(min_distance=shortest)
        self.labeller = search.labeller
        if not isinstance(self.labeller, GuardedLabeller):
            self.labeller = GuardedLabeller(self.labeller, sanity=self.sanity)
        fixed = [] if substrate is None else substrate.numbers.tolist()
        self.fingerprint = Fingerprint([*(z for key in self.groups for z in key), *fixed])
        names = dict.fromkeys(n for g in self.groups.values() for n in g.operators.names)
        self.record = OperatorRecord([*names, *(["transmute"] if len(self.groups) > 1 else [])])
        self.hull = None
        self.rows, self.known, self.candidates = {}, [], []
        self.surrogate, self.pickled, self.limits = None, None, Thresholds(0.0, np.inf)
        self.model, self.learned, self.residuals = 0, 0, {}
        self.n_chosen, self.fruitless, self.relaxed = 0, 0, 0
        self.surprised, self.paused, self.reason = False, False, None
        self.running = {}  # future -> (kind, task, what it is about)
        self._replay()

    def run(self) -> SearchResult:
        """Run until there is a reason to end, then wait for what runs."""
        while True:
            self._obey()
            self._fill()
            if not self.running:
                if self.paused and self.reason is None:
                    time.sleep(_LOOK)
                    continue
                break
            done = self.pools.wait(self.running, _LOOK)
            # In the order in which they were started, where several are done.
            for future in [f for f in self.running if f in done]:
                self._finish(future)
        self.reason = self.reason or "exhausted"
        self.store.add_event("end", self.reason)
        found = [group.pool.members[0] for group in self.groups.values() if group.pool.members]
        best = min(found, key=lambda member: member.energy, default=None)
        labelled = [row for _, row in sorted(self.rows.items()) if row["label"] is not None]
        counts = self.store.counts()
        return SearchResult(
            None if best is None else best.structure,
            np.nan if best is None else best.energy,
            counts["labelled"] + counts["failed"],
            np.array([_per_atom(row) for row in labelled]),
            self.reason,
            self._hull_points(found),
        )

    def _hull_points(self, found) -> list:
        if not found:
            return []
        numbers = [member.structure.numbers[self.n_fixed :] for member in found]
        hull = ConvexHull([self._counts(one) for one in numbers], [m.energy for m in found])
        return [
            HullPoint(dict(Counter(numbers[k].tolist())), found[k].structure, found[k].energy)
            for k in hull.vertices()
        ]

    def _counts(self, numbers) -> list:
        elements = sorted({number for key in self.groups for number in key})
        return [int(np.sum(np.asarray(numbers) == element)) for element in elements]

    def _group(self, structure):
        return self.groups[tuple(sorted(structure.numbers[self.n_fixed :].tolist()))]

    def _reference(self, structure) -> float:
        """Return the energy of the hull at a composition, per atom; 0 where there is only one."""
        if len(self.groups) == 1:
            return 0.0
        if self.hull is None:
            rows = self._sound()
            if not rows:
                return 0.0
            counts = [self._counts(r["structure"].numbers[self.n_fixed :]) for r in rows]
            self.hull = ConvexHull(counts, [_per_atom(row) for row in rows])
        energy = self.hull.energy(self._counts(structure.numbers[self.n_fixed :]))
        # Where nothing is known, whatever is found is welcome.
        return energy if np.isfinite(energy) else max(_per_atom(row) for row in self._sound())

    # --- what follows from the store ----------------------------------------------------------

    def _replay(self):
        self.waiting = []
        for row in self.store.structures():
            self._know(row)
            if row["state"] == "queued":
                self.waiting.append(row["id"])
            elif row["state"] == "labelled":
                self._labelled(row)
        self.n_chosen = sum(row["origin"] != "start" for row in self.rows.values())

    def _know(self, row):
        self.rows[row["id"]] = row
        row["fingerprint"] = self.fingerprint(row["structure"])
        # Failed ones too: what is like them fails again.
        self.known.append(row["fingerprint"])

    def _labelled(self, row):
        member = Member(row["id"], row["structure"], _per_atom(row), row["fingerprint"])
        is_better = self._group(row["structure"]).pool.add(member)
        self.hull = None
        self.record.add(row["origin"], is_better)
        if self.target is not None and member.energy <= self.target:
            self.reason = "target"

    @property
    def n_asked(self) -> int:
        """Labels that were asked for so far."""
        return len(self.rows)

    # --- starting tasks -----------------------------------------------------------------------

    def _obey(self):
        for name in self.store.take_commands():
            if name == "stop":
                self.reason = self.reason or "stopped"
            if name == "retry":
                self.waiting += self.store.retry_failed()
            self.paused = name == "pause" if name in ("pause", "resume") else self.paused
            self.store.add_event("command", name)

    def _fill(self):
        if self.end is not None and self.pools.now() > self.end:
            self.reason = self.reason or "time"
        if self.fruitless >= self.search.patience:
            self.reason = self.reason or "exhausted"
        if self.reason is not None or self.paused:
            return
        self._train()
        while self._busy("label") < self.pools.sizes["label"] and self._label():
            pass
        done = self.n_asked >= self.n_labels
        if done and not self.waiting and not self._busy("label"):
            self.reason = "labels"
            return
        if self.surrogate is not None and not done:
            # No more than can be chosen from: labels may be slow.
            most = 4 * self.search.candidates_per_label * self.pools.sizes["label"]
            n_relax = self.pools.sizes["relax"]
            while self._busy("relax") < n_relax and len(self.candidates) < most:
                self._relax()

    def _busy(self, kind) -> int:
        return sum(each[0] == kind for each in self.running.values())

    def _submit(self, kind, task, about, function, *args):
        self.running[self.pools.submit(kind, function, *args)] = kind, task, about

    def _seed(self, task) -> int:
        sequence = np.random.SeedSequence([self.search.random_state, task])
        return int(sequence.generate_state(1)[0])

    def _label(self) -> bool:
        """Start a label where there is something to label; tell whether it was."""
        if self.waiting:
            number, attempt = self.waiting.pop(0), 1
        elif self.n_asked >= self.n_labels:
            return False
        else:
            number, attempt = self._choose(), 1
            if number is None:
                return False
        self._ask(number, attempt)
        return True

    def _ask(self, number, attempt):
        task = self.store.start_task("label")
        structure = self.rows[number]["structure"]
        self._submit("label", task, (number, attempt), label_task, self.labeller, structure)

    def _choose(self):
        n_starts = sum(row["origin"] == "start" for row in self.rows.values())
        if n_starts < self.search.n_initial or self._starved() or self._idle_at_first():
            return self._random()
        if self.surrogate is None or len(self.candidates) < self.search.candidates_per_label:
            return None
        for candidate in self.candidates:
            candidate.reference = self._reference(candidate.structure)
        chosen = select(self.candidates, 1, self.limits, self.known, start=self.n_chosen)
        if not chosen:
            self.candidates = []
            return None
        (candidate,) = chosen
        # Those that were passed over for this one are passed over again, or were duplicates.
        self.candidates = [
            c for c in self.candidates
            if c is not candidate and not is_known(c.fingerprint, [candidate.fingerprint], 0.005)
        ][-2 * self.search.candidates_per_label :]  # fmt: skip
        self.n_chosen += 1
        self.fruitless = 0
        return self._add(
            candidate.structure, candidate.origin, candidate.parents,
            predicted=candidate.energy, std=candidate.std, model=candidate.model,
        )  # fmt: skip

    def _idle_at_first(self) -> bool:
        """Tell whether labels would wait for the first training; a random start is worth more."""
        return self.surrogate is None and self._busy("train") > 0 and self.pools.sizes["label"] > 1

    def _starved(self) -> bool:
        """Tell whether so many labels failed that no surrogate can be fitted."""
        on_their_way = bool(self.running) or self.surrogate is not None
        return not on_their_way and len(self._sound()) < self._fewest()

    def _random(self):
        n_starts = sum(row["origin"] == "start" for row in self.rows.values())
        operators = list(self.groups.values())[n_starts % len(self.groups)].operators
        for _ in range(100):
            task = self.store.start_task("start")
            structure = operators.make("start", [], np.random.RandomState(self._seed(task)))
            sound = structure is not None and self.sanity.fault_of_structure(structure) is None
            self.store.finish_task(task, "made" if sound else "none")
            if sound:
                return self._add(structure, "start", ())
        raise ValueError(
            "No random structure keeps its atoms apart. Give a larger volume per atom than "
            f"{operators.volume:.3g} Å³."
        )

    def _add(self, structure, origin, parents, **predicted) -> int:
        number = self.store.add_structure(structure, origin, parents, **predicted)
        self._know(
            {"id": number, "structure": structure, "label": None, "origin": origin, **predicted}
        )
        return number

    def _relax(self):
        task = self.store.start_task("relax")
        rng = np.random.RandomState(self._seed(task))
        group = list(self.groups.values())[rng.randint(len(self.groups))]
        name, parents = self._parents(group, rng)
        settings = {
            "variable_cell": group.operators.n_cell_vectors > 0,
            "n_fixed": self.n_fixed,
            "max_std": self.search.max_doubt * self.limits.doubtful,
            "sanity": self.sanity,
            "max_steps": self.search.max_steps,
        }
        self._submit(
            "relax", task, (name, tuple(p.id for p in parents), self.model), relax_task,
            self.pickled, group.operators, name, [p.structure for p in parents],
            self._seed(task), settings,
        )  # fmt: skip

    def _parents(self, group, rng):
        """Draw an operator and its parents; a random structure where there are none."""
        others = [
            other for key, other in self.groups.items()
            if other is not group and other.pool.members
            and len(key) == len(group.operators.numbers)
        ]  # fmt: skip
        names = [*(group.operators.names if group.pool.members else ())]
        names += ["transmute"] if others else []
        if not names:
            return "start", []
        name = self.record.draw(rng, names)
        if name == "transmute":
            return name, [others[rng.randint(len(others))].pool.draw(rng)]
        return name, [group.pool.draw(rng) for _ in range(group.operators.n_parents(name))]

    # --- training -----------------------------------------------------------------------------

    def _sound(self) -> list:
        return [row for _, row in sorted(self.rows.items()) if row["label"] is not None]

    def _fewest(self) -> int:
        return max(2 * getattr(self.search.surrogate, "n_members", 5), self.search.n_initial // 2)

    def _train(self):
        rows = self._sound()
        new = len(rows) - self.learned
        first = self.learned == 0
        begun = len(self.rows) - len(self.waiting) >= self.search.n_initial
        # The first one does not wait for the slowest of the first labels.
        enough = not self._busy("label") or 4 * len(rows) >= 3 * self.search.n_initial
        due = begun and enough if first else new >= self.search.retrain_every
        if self._busy("train") or len(rows) < self._fewest() or not (due or self.surprised):
            return
        self.learned, self.surprised = len(rows), False
        surrogate = clone(self.search.surrogate or LinearCommittee())
        task = self.store.start_task("train")
        surrogate.set_params(random_state=self._seed(task) % (1 << 31))
        structures, labels = [r["structure"] for r in rows], [r["label"] for r in rows]
        weights = self._weights(rows)
        self._submit(
            "train", task, [r["id"] for r in rows], train_task,
            surrogate, structures, labels, weights,
        )  # fmt: skip

    def _weights(self, rows) -> np.ndarray:
        """Return weights that fall with the energy: what is far above the best matters less."""
        above = np.array([_per_atom(row) - self._reference(row["structure"]) for row in rows])
        above -= above.min()
        middle = np.median(above)
        weights = 1.0 / (1.0 + above / middle) ** 2 if middle > 0 else np.ones(len(rows))
        if self.search.loss_weights is not None and self.residuals:
            weights *= self.search.loss_weights([self.residuals.get(r["id"], np.nan) for r in rows])
        return weights / weights.mean()

    # --- what tasks bring ---------------------------------------------------------------------

    def _finish(self, future):
        kind, task, about = self.running.pop(future)
        try:
            (result, seconds), error = future.result(), None
        except Exception as raised:  # of a worker: whatever it died of
            result, seconds, error = None, None, raised
        text = getattr(self, f"_finish_{kind}")(about, result, error)
        self.store.finish_task(task, text, seconds)

    def _finish_label(self, about, outcome, error):
        number, attempt = about
        if error is not None:
            if attempt < _MOST_ATTEMPTS:
                self.store.add_event("lost", f"label of structure {number}: {error}")
                self._ask(number, attempt + 1)
                return "lost"
            self.store.fail_label(number, f"the worker was lost: {error}", seconds=0.0)
            return "failed"
        if outcome.label is None:
            self.store.fail_label(number, outcome.why, seconds=outcome.seconds)
            return "failed"
        self.store.finish_label(number, outcome.label, seconds=outcome.seconds)
        row = self.rows[number]
        row["label"] = outcome.label
        self._labelled(row)
        predicted = row.get("predicted")
        if predicted is not None and np.isfinite(self.limits.doubtful):
            error = abs(predicted - outcome.label.energy) / len(row["structure"].numbers)
            self.surprised |= error > 10 * self.limits.doubtful
        return "labelled"

    def _finish_relax(self, about, relaxed, error):
        name, parents, model = about
        self.relaxed += 1
        self.fruitless += 1
        if relaxed is None:
            return "none" if error is None else f"failed: {error}"
        fingerprint = self.fingerprint(relaxed.structure)
        if is_known(fingerprint, self.known, 0.005):
            self.record.add(name, False)
            return "duplicate"
        energy, std = relaxed.energy, relaxed.std
        if model != self.model:
            energy, std = (float(v[0]) for v in self.surrogate.predict([relaxed.structure]))
        self.candidates.append(
            Candidate(relaxed.structure, energy, std, name, parents, fingerprint, self.model)
        )
        return relaxed.reason

    def _finish_train(self, numbers, surrogate, error):
        if error is not None:
            self.store.add_event("training failed", f"{type(error).__name__}: {error}")
            if self.surrogate is None:
                raise error
            return "failed"
        self.surrogate, self.pickled = surrogate, pickle.dumps(surrogate)
        self.residuals = dict(zip(numbers, surrogate.errors_.tolist(), strict=True))
        self.limits = Thresholds.of(surrogate.errors_)
        quantiles = np.quantile(surrogate.errors_, [0.1, 0.5, 0.9]).tolist()
        self.model = self.store.add_model(len(numbers), quantiles)
        if self.candidates:
            energies, stds = surrogate.predict([c.structure for c in self.candidates])
            for candidate, energy, std in zip(self.candidates, energies, stds, strict=True):
                candidate.energy, candidate.std = float(energy), float(std)
                candidate.model = self.model
        return "fitted"


def _per_atom(row) -> float:
    return row["label"].energy / len(row["structure"].numbers)
