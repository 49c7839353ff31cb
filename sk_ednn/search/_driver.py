"""The loop of a search: relax on the surrogate, label, fit again, without waiting."""

from __future__ import annotations

import time

import numpy as np

from ._label import Sanity
from ._labellers import GuardedLabeller
from ._learner import Learner
from ._progress import GIVEN, SearchProgress, energy_per_atom
from ._result import SearchResult
from ._selection import Candidate, is_known, select
from ._tasks import label_task, relax_task, train_task

# s between two checks of the commands while tasks run.
_LOOK = 0.5
# Attempts at a label whose worker is lost.
_MOST_ATTEMPTS = 2
# Distance of fingerprints below which two structures are the same.
_SAME = 0.005
# eV per atom: what a refinement of a best structure promises at least to be worth a label.
_LEAST_GAIN = 0.001


class Driver:
    """One run of a search: which tasks are started, and what is done with their results.

    Parameters
    ----------
    search : StructureSearch
    store : SearchStore
    pools : Pools
    n_labels, target, max_seconds
        See `StructureSearch.run`.
    """

    def __init__(self, search, store, pools, n_labels, target, max_seconds):
        self.search, self.store, self.pools = search, store, pools
        self.n_labels, self.target = n_labels, target
        self.end = None if max_seconds is None else pools.now() + max_seconds
        self.progress = SearchProgress(search, store)
        self.learner = Learner(search)
        groups = self.progress.groups.values()
        if target is not None and len(groups) > 1:
            raise ValueError("A target needs one composition: hulls have no single energy.")
        shortest = min(group.operators.shortest(0.6) for group in groups)
        self.sanity = search.sanity or Sanity(min_distance=shortest)
        self.labeller = search.labeller
        if not isinstance(self.labeller, GuardedLabeller):
            self.labeller = GuardedLabeller(self.labeller, sanity=self.sanity)
        self.candidates = []
        # Numbers of best structures that were relaxed on a surrogate corrected by their labels.
        self.refined: set[int] = set()
        self.n_chosen = self.progress.n_asked - self.progress.n_starts
        self.fruitless = 0
        self.paused, self.reason = False, None
        self.running = {}  # future -> (kind, task, what it is about)
        self._check_target()

    def run(self) -> SearchResult:
        """Run until there is a reason to end, then wait for what runs."""
        while True:
            self._obey()
            self._start_tasks()
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
        return self._result()

    def _result(self) -> SearchResult:
        best = min(self.progress.best(), key=lambda member: member.energy, default=None)
        counts = self.store.counts()
        return SearchResult(
            None if best is None else best.structure,
            np.nan if best is None else best.energy,
            counts["labelled"] + counts["failed"],
            np.array([energy_per_atom(row) for row in self.progress.labelled()]),
            self.reason,
            self.progress.hull_points(),
            self.store.failures(),
        )

    def _check_target(self):
        lowest = min((member.energy for member in self.progress.best()), default=np.inf)
        if self.target is not None and lowest <= self.target:
            self.reason = "target"

    # --- starting tasks -----------------------------------------------------------------------

    def _obey(self):
        for name in self.store.take_commands():
            if name == "stop":
                self.reason = self.reason or "stopped"
            if name == "retry":
                self.progress.waiting += self.store.retry_failed()
            self.paused = name == "pause" if name in ("pause", "resume") else self.paused
            self.store.add_event("command", name)

    def _start_tasks(self):
        if self.end is not None and self.pools.now() > self.end:
            self.reason = self.reason or "time"
        if self.fruitless >= self.search.patience:
            self.reason = self.reason or "exhausted"
        if self.reason is not None or self.paused:
            return
        self._train()
        while self._busy("label") < self.pools.sizes["label"] and self._label():
            pass
        done = self.progress.n_asked >= self.n_labels
        if done and not self.progress.waiting and not self._busy("label"):
            self.reason = "labels"
            return
        if self.learner.surrogate is not None and not done:
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

    def _train(self):
        if self._busy("train") or not self.learner.is_due(self.progress, self._busy("label") > 0):
            return
        numbers = [row["id"] for row in self.progress.labelled()]
        task = self.store.start_task("train")
        training = self.learner.training(self.progress, self._seed(task))
        self._submit("train", task, numbers, train_task, *training)

    def _label(self) -> bool:
        """Start a label if a structure waits for one; return whether it was started."""
        if self.progress.waiting:
            number = self.progress.waiting.pop(0)
        elif self.progress.n_asked >= self.n_labels:
            return False
        else:
            number = self._choose()
            if number is None:
                return False
        self._ask(number, attempt=1)
        return True

    def _ask(self, number, attempt):
        task = self.store.start_task("label")
        structure = self.progress.rows[number]["structure"]
        self._submit("label", task, (number, attempt), label_task, self.labeller, structure)

    def _choose(self) -> int | None:
        """Return the number of the structure that is labelled next; None where none is ready."""
        if self.progress.n_given < len(self.progress.given):
            return self.progress.add(self.progress.given[self.progress.n_given], GIVEN, ())
        few_starts = self.progress.n_starts < self.search.n_initial
        if few_starts or self._starved() or self._idle_at_first():
            return self._random()
        if self.learner.surrogate is None:
            return None
        for candidate in self.candidates:
            if candidate.refines:
                return self._chosen(candidate)
        if len(self.candidates) < self.search.candidates_per_label:
            return None
        for candidate in self.candidates:
            candidate.reference = self.progress.reference_energy(candidate.structure)
        chosen = select(
            self.candidates, 1, self.learner.limits, self.progress.fingerprints,
            start=self.n_chosen,
        )  # fmt: skip
        if not chosen:
            self.candidates = []
            return None
        return self._chosen(*chosen)

    def _chosen(self, candidate) -> int:
        """Take a candidate off the list, and add its structure to those to be labelled."""
        # The newest are kept, for each node that labels: what was passed over several times is
        # passed over again.
        self.candidates = [
            c for c in self.candidates
            if c is not candidate
            and (c.refines or not is_known(c.fingerprint, [candidate.fingerprint], _SAME))
        ][-2 * self.search.candidates_per_label * self.pools.sizes["label"] :]  # fmt: skip
        self.n_chosen += 1
        self.fruitless = 0
        return self.progress.add(
            candidate.structure, candidate.origin, candidate.parents,
            predicted=candidate.energy, std=candidate.std, model=candidate.model,
        )  # fmt: skip

    def _idle_at_first(self) -> bool:
        """Return True if labels would wait for the first candidates: take a random start."""
        if self.pools.sizes["label"] == 1 or self.n_chosen:
            return False
        if self.learner.surrogate is None:
            return self._busy("train") > 0
        return len(self.candidates) < self.search.candidates_per_label

    def _starved(self) -> bool:
        """Return True if too many labels failed to fit a surrogate."""
        if self.running or self.learner.surrogate is not None:
            return False
        return len(self.progress.labelled()) < self.learner.fewest_labels

    def _random(self) -> int:
        groups = list(self.progress.groups.values())
        operators = groups[self.progress.n_starts % len(groups)].operators
        for _ in range(100):
            task = self.store.start_task("start")
            structure = operators.make("start", [], np.random.RandomState(self._seed(task)))
            sound = structure is not None and self.sanity.fault_of_structure(structure) is None
            self.store.finish_task(task, "made" if sound else "none")
            if sound:
                return self.progress.add(structure, "start", ())
        raise ValueError(
            "Atoms are too close in all random structures. Use a volume per atom larger than "
            f"{operators.volume:.3g} Å³."
        )

    def _relax(self):
        task = self.store.start_task("relax")
        rng = np.random.RandomState(self._seed(task))
        best = self._next_unrefined()
        if best is None:
            group = self.progress.draw_group(rng)
            name, parents = self._parents(group, rng)
        else:
            group, name, parents = self.progress.group_of(best.structure), "again", [best]
        # The surrogate is corrected by the label of what is relaxed again.
        label = self.progress.rows[parents[0].id]["label"] if name == "again" else None
        if label is not None and label.forces is None:
            label = None
        settings = {
            "variable_cell": group.operators.n_cell_vectors > 0,
            "n_fixed": self.progress.n_fixed,
            "max_std": self.search.max_doubt * self.learner.limits.doubtful,
            "sanity": self.sanity,
            "max_steps": self.search.max_steps,
        }
        self._submit(
            "relax", task, (name, tuple(p.id for p in parents), self.learner.model, best),
            relax_task, self.learner.pickled, group.operators, name,
            [p.structure for p in parents], self._seed(task), settings, label,
        )  # fmt: skip

    def _next_unrefined(self):
        """Return a structure of the hull that was not relaxed again yet."""
        for member in self.progress.hull_members():
            label = self.progress.rows[member.id]["label"]
            if member.id not in self.refined and label.forces is not None:
                self.refined.add(member.id)
                return member
        return None

    def _parents(self, group, rng):
        """Draw an operator and its parents; a random structure if there are none."""
        others = [
            other for key, other in self.progress.groups.items()
            if other is not group and other.pool.members
            and len(key) == len(group.operators.numbers)
        ]  # fmt: skip
        names = [*(group.operators.names if group.pool.members else ())]
        names += ["transmute"] if others else []
        if not names:
            return "start", []
        name = self.progress.record.draw(rng, names)
        if name == "transmute":
            return name, [others[rng.randint(len(others))].pool.draw(rng)]
        return name, [group.pool.draw(rng) for _ in range(group.operators.n_parents(name))]

    # --- results of tasks ---------------------------------------------------------------------

    def _finish(self, future):
        kind, task, about = self.running.pop(future)
        try:
            (result, seconds), error = future.result(), None
        except Exception as raised:  # of a worker: whatever it died of
            if not self.pools.are_connected():
                self._finish_disconnected(kind, task, about)
                return
            result, seconds, error = None, None, raised
        finish = {
            "label": self._finish_label, "relax": self._finish_relax, "train": self._finish_train
        }[kind]  # fmt: skip
        self.store.finish_task(task, finish(about, result, error), seconds)

    def _finish_disconnected(self, kind, task, about):
        """Request a label again that was lost with its scheduler; it counts as one attempt.

        Relaxations and trainings start again by themselves.
        """
        self.store.finish_task(task, "lost", None)
        self.pools.wait_for_schedulers()
        if kind == "label":
            number, attempt = about
            self.store.add_event("lost", f"label of structure {number}: the scheduler was lost")
            self._ask(number, attempt)

    def _finish_label(self, about, outcome, error) -> str:
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
        self.progress.take_label(number, outcome.label)
        self._check_target()
        self.learner.compare(self.progress.rows[number])
        return "labelled"

    def _finish_relax(self, about, relaxed, error) -> str:
        name, parents, model, best = about
        self.fruitless += 1
        if relaxed is None:
            return "none" if error is None else f"failed: {error}"
        fingerprint = self.progress.fingerprint(relaxed.structure)
        if best is None:
            is_new = not is_known(fingerprint, self.progress.fingerprints, _SAME)
        else:
            is_new = best.energy - relaxed.energy / len(relaxed.structure.numbers) >= _LEAST_GAIN
        if not is_new:
            self.progress.record.add(name, False)
            return "duplicate"
        candidate = Candidate(
            relaxed.structure, relaxed.energy, relaxed.std, name, parents, fingerprint, model,
            refines=best is not None,
        )  # fmt: skip
        if model != self.learner.model:
            self.learner.predict_again([candidate])
        self.candidates.append(candidate)
        return relaxed.reason

    def _finish_train(self, numbers, surrogate, error) -> str:
        if error is not None:
            self.store.add_event("training failed", f"{type(error).__name__}: {error}")
            if self.learner.surrogate is None:
                raise error
            return "failed"
        self.learner.replace(surrogate, numbers, self.store)
        self.learner.predict_again(self.candidates)
        return "fitted"
