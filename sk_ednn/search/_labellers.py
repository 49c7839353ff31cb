"""Reference methods: a function, a calculator of ASE, a command; and their guard."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from pathlib import Path
from string import Template

import numpy as np

from ..structures._elements import symbol
from ._child_process import LostProcessError, TimeLimitError, call_in_child, kill_group
from ._label import Label, Sanity, as_structure


class AbstractLabeller(ABC):
    """A reference method: the energy of a structure, and forces and stress if it has them.

    Labellers are sent to workers, so they must be picklable. They may raise errors, hang or return
    invalid labels; `GuardedLabeller` handles these cases.
    """

    @abstractmethod
    def label(self, structure, time_limit=None) -> Label:
        """Label a structure.

        Parameters
        ----------
        structure : Structure
        time_limit : float, default=None, in s
            After this time the computation is killed and `TimeLimitError` is raised.
        """

    def method(self) -> Method:
        """Return a description of the method, which the store of a search keeps.

        Energies of two methods cannot be compared, so a search is not continued with another one.
        """
        return Method(type(self).__qualname__)


@dataclass(frozen=True)
class Method:
    """Description of a reference method.

    Attributes
    ----------
    name : str or None
        None if it cannot be told from others.
    settings : str or None
        What energies may depend on besides. None if it is not known.
    """

    name: str | None
    settings: str | None = None


class FunctionLabeller(AbstractLabeller):
    """Label structures with a Python function.

    Parameters
    ----------
    function : callable
        Takes a `Structure` and returns a `Label`. With a time limit it runs in another process, so
        cloudpickle must be able to pickle it.

    Examples
    --------
    >>> from sk_ednn.search import FunctionLabeller, Label
    >>> from sk_ednn.structures import Structure
    >>> FunctionLabeller(lambda structure: Label(-1.5 * len(structure.numbers))).label(
    ...     Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [9, 9, 9])
    ... ).energy
    -3.0
    """

    def __init__(self, function):
        self.function = function

    def label(self, structure, time_limit=None) -> Label:
        """Label a structure; see `AbstractLabeller`."""
        if time_limit is None:
            return self.function(structure)
        return call_in_child(self.function, structure, time_limit)


class CalculatorLabeller(AbstractLabeller):
    """Label structures with a calculator of ASE.

    Parameters
    ----------
    calculator : callable
        Called without arguments, such as a class or a function; returns a new calculator for each
        label, since calculators write files and cannot always be pickled. An attribute or method
        ``converged`` of the calculator states whether it converged.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller
    >>> label = CalculatorLabeller(EMT).label(bulk("Cu", cubic=True))
    >>> label.forces.shape, label.stress.shape
    ((4, 3), (3, 3))
    """

    def __init__(self, calculator):
        self.calculator = calculator

    def label(self, structure, time_limit=None) -> Label:
        """Label a structure; see `AbstractLabeller`."""
        if time_limit is None:
            return self._label(structure)
        return call_in_child(self._label, structure, time_limit)

    def method(self) -> Method:
        """Return the name of the calculator, and its parameters if they are plain values."""
        made, args, kwargs = self.calculator, (), {}
        while isinstance(made, partial):
            args, kwargs, made = made.args + args, {**made.keywords, **kwargs}, made.func
        name = f"{getattr(made, '__module__', None)}.{getattr(made, '__qualname__', '<')}"
        if "<" in name:  # of a lambda, or of a class or function within a function
            return Method(None)
        try:
            return Method(name, json.dumps([args, kwargs], sort_keys=True))
        except (TypeError, ValueError):
            return Method(name)

    def _label(self, structure) -> Label:
        from ._ase import label_of, to_atoms

        atoms = to_atoms(structure)
        atoms.calc = self.calculator()
        return label_of(atoms)


class CommandLabeller(AbstractLabeller):
    """Label structures with a program: write the input, run the command, read the output.

    Each label has a new folder, which is removed afterwards.

    Parameters
    ----------
    command : str
        Run by the shell in the folder, such as ``"pw.x < input.pwi > output.pwo"``.
    input_name : str
        File that is written.
    output_name : str
        File that is read.
    template : str, default=None
        Text of the input with ``$positions`` (lines of symbol, x, y, z), ``$cell`` (three lines)
        and ``$n_atoms``; ``$$`` for a dollar sign. None: ASE writes the input in `input_format`.
    input_format, output_format : str, default=None
        Formats of ASE; None for those of the names.
    read : callable, default=None
        Takes the folder, a Path, and returns a `Label`. None: ASE reads the output.
    converged : str, default=None
        Regular expression that the output contains if the program converged. None: an exit code of
        0 means that it converged.

    Examples
    --------
    >>> import sys
    >>> from sk_ednn.search import CommandLabeller, Label
    >>> from sk_ednn.structures import Structure
    >>> labeller = CommandLabeller(
    ...     "wc -l < input.txt > output.txt",
    ...     "input.txt",
    ...     "output.txt",
    ...     template="$positions",
    ...     converged="[0-9]",
    ...     read=lambda folder: Label(-float((folder / "output.txt").read_text())),
    ... )
    >>> labeller.label(Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [9, 9, 9])).energy
    -2.0
    """

    def __init__(
        self, command, input_name, output_name, *, template=None, input_format=None,
        output_format=None, read=None, converged=None,
    ):  # fmt: skip
        self.command = command
        self.input_name = input_name
        self.output_name = output_name
        self.template = template
        self.input_format = input_format
        self.output_format = output_format
        self.read = read
        self.converged = converged

    def method(self) -> Method:
        """Return the name of the input and the template, but not how the program is run."""
        return Method("CommandLabeller", json.dumps([self.input_name, self.template]))

    def label(self, structure, time_limit=None) -> Label:
        """Label a structure; see `AbstractLabeller`."""
        with tempfile.TemporaryDirectory(prefix="sk-ednn-label-") as name:
            folder = Path(name)
            self._write(structure, folder / self.input_name)
            self._run(folder, time_limit)
            return self._read(folder)

    def _write(self, structure, path):
        if self.template is None:
            import ase.io

            from ._ase import to_atoms

            ase.io.write(path, to_atoms(structure), format=self.input_format)
            return
        rows = zip(structure.numbers, np.asarray(structure.positions), strict=True)
        positions = [f"{symbol(int(number))} {_numbers(place)}\n" for number, place in rows]
        text = Template(self.template).substitute(
            positions="".join(positions),
            cell="".join(f"{_numbers(row)}\n" for row in _cell(structure)),
            n_atoms=len(structure.numbers),
        )
        path.write_text(text, encoding="utf-8")

    def _run(self, folder, time_limit):
        # A group of processes: what the shell starts is killed with it.
        with subprocess.Popen(
            self.command, shell=True, cwd=folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                _, complaints = process.communicate(timeout=time_limit)
            except BaseException as error:
                kill_group(process)
                process.communicate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TimeLimitError(f"more than {time_limit:g} s") from None
                raise
        if process.returncode:
            last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"{self.command!r} ended with {process.returncode}: {last}")

    def _read(self, folder) -> Label:
        output = folder / self.output_name
        converged = True
        if self.converged is not None:
            text = output.read_text(encoding="utf-8", errors="replace")
            converged = re.search(self.converged, text) is not None
        if not converged:
            return Label(float("nan"), converged=False)
        if self.read is not None:
            return self.read(folder)
        import ase.io

        from ._ase import label_of

        return label_of(ase.io.read(output, format=self.output_format))


def _numbers(row) -> str:
    return " ".join(f"{value:.12g}" for value in row)


def _cell(structure) -> np.ndarray:
    cell = np.asarray(structure.cell, dtype=float)
    return np.diag(cell) if cell.ndim == 1 else cell


@dataclass(frozen=True)
class Outcome:
    """Result of labelling a structure: a label, or the reason why there is none."""

    label: Label | None
    why: str | None
    seconds: float


@dataclass(frozen=True)
class GuardedLabeller:
    """Limit the time of a labeller, and reject implausible labels.

    Parameters
    ----------
    labeller : AbstractLabeller
    fallback : AbstractLabeller, default=None
        Called once if the labeller fails: the same method with safer settings. The energies must be
        comparable.
    time_limit : float, default=None, in s
        For each of the two.
    sanity : Sanity, default=Sanity()

    Examples
    --------
    >>> from sk_ednn.search import FunctionLabeller, GuardedLabeller, Label
    >>> from sk_ednn.structures import Structure
    >>> pair = Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [9, 9, 9])
    >>> GuardedLabeller(FunctionLabeller(lambda structure: Label(float("nan")))).outcome(pair).why
    'the energy is nan'
    """

    labeller: AbstractLabeller
    fallback: AbstractLabeller | None = None
    time_limit: float | None = None
    sanity: Sanity = field(default_factory=Sanity)

    def __post_init__(self):
        """Raise if the time limit is no time."""
        limit = self.time_limit
        if limit is not None and not (
            isinstance(limit, Real) and not isinstance(limit, bool) and 0 < limit < np.inf
        ):
            raise ValueError(
                f"time_limit must be a number of seconds above 0, or None; got {limit!r}."
            )

    def outcome(self, structure) -> Outcome:
        """Label a structure; errors are returned, not raised, unless they end the process."""
        start = time.perf_counter()
        try:
            structure = as_structure(structure)
            why = self.sanity.fault_of_structure(structure)
        except ValueError as error:
            why = str(error)
        if why is not None:
            return Outcome(None, why, 0.0)
        reasons = []
        for labeller in (self.labeller, self.fallback):
            if labeller is None:
                continue
            label, why = self._asked(labeller, structure)
            if why is None:
                return Outcome(label, None, time.perf_counter() - start)
            reasons.append(why)
        return Outcome(None, "; then ".join(reasons), time.perf_counter() - start)

    def _asked(self, labeller, structure):
        try:
            return self._try(labeller, structure)
        except LostProcessError:
            # Killed for memory or by mistake, or it crashed: the second time it is its fault.
            try:
                return self._try(labeller, structure)
            except LostProcessError as error:
                return None, str(error)

    def _try(self, labeller, structure):
        try:
            label = labeller.label(structure, self.time_limit)
            return label, self.sanity.fault_of_label(structure, label)
        except TimeLimitError as error:
            return None, f"over the time limit: {error}"
        except LostProcessError:
            raise
        except Exception as error:  # whatever a reference method fails with
            return None, f"{type(error).__name__}: {error}"
