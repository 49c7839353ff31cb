"""Values of the forms, and the commands made from them. Nothing here draws anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._security import plain_name
from ._site import only_set

# Options of fits that have no value, and those that are not taken over by another run.
_FLAGS = {
    "--quiet", "-q", "--force", "--json", "--categorical", "--forces", "--images", "--repulsion",
    "--screening", "--keep-on-interrupt",
}  # fmt: skip
_LEFT_OUT = {
    "--quiet", "-q", "--force", "--json", "--run", "--output", "-o", "--report", "--save-config",
    "--checkpoint", "--errors", "--clock",
}  # fmt: skip
_JOBS = -1  # networks at a time, where the command does not say
_TABLES_OF_LABELS = ("dots", "boxes")  # options of fits of counts that are tables
ANGLES = ("360", "2pi")  # of VALUES
VALUES = {
    "amounts": "Amounts: spins, counts, densities, brightness",
    "labels": "Labels: states, phases, classes",
    "360": "Angles in degrees",
    "2pi": "Angles in radians",
}
HARMONICS = {
    1: "1: the angle alone, such as cos θ of magnetic moments",
    2: "2: also twice the angle, such as cos 2θ of nematic terms",
    3: "3: up to three times the angle",
    4: "4: up to four times, such as cos 4θ of cubic anisotropy",
    6: "6: up to six times, such as cos 6θ of hexagonal anisotropy",
}
BOUNDARIES = {
    "periodic": "periodic: what leaves on the right comes back on the left",
    "zero": "empty: zeros beyond the edge",
    "reflect": "mirrored at the edge",
    "nearest": "the last value continues",
}


def part_of(path, name) -> str:
    """Return the name of an array of a file, as the commands take it.

    Examples
    --------
    >>> from sk_ednn.ui._forms import part_of
    >>> part_of("spins.npz", "X"), part_of("large.npy", "")
    ('spins.npz::X', 'large.npy')
    """
    return f"{path}::{name}" if name else str(path)


@dataclass
class Fit:
    """A fit, as entered on the start page.

    Attributes
    ----------
    fields : Path or None
        File or folder with the systems.
    fields_name, targets_name : str
        Arrays in files of several.
    targets : Path or None
        File of the totals, None where it is that of the systems or structures carry them.
    structures : bool
    focus, context : int
    boundary : str
    channels_last : bool
        Whether the last axis has channels.
    values : {"amounts", "labels", "360", "2pi"}
        Meaning of the values of fields.
    harmonics : int
        Multiples of angles that are used, up to this one.
    model : str
    unit : str
    epochs : int or None
    test_percent : int
        Held back to measure the error.
    seed : int
    others : list of list of str
        Words of further options of a run that is done again.
    """

    fields: Path | None = None
    fields_name: str = ""
    targets: Path | None = None
    targets_name: str = ""
    structures: bool = False
    focus: int = 1
    context: int = 1
    boundary: str = "periodic"
    channels_last: bool = False
    values: str = "amounts"
    harmonics: int = 1
    model: str = "auto"
    unit: str = ""
    epochs: int | None = None
    minutes: float | None = None
    test_percent: int = 20
    seed: int = 0
    others: list[list[str]] = field(default_factory=list)

    @classmethod
    def of_run(cls, words, folder) -> Fit:
        """Return the form as it was for a run.

        Parameters
        ----------
        words : list of str
            The command of the run. Files that it wrote elsewhere are left out: a new run would
            replace them.
        folder : str or Path
            Folder of relative paths.

        Examples
        --------
        >>> from sk_ednn.ui._forms import Fit
        >>> again = Fit.of_run(
        ...     ["fit", "a.npz::X", "t.csv", "--focus=2", "--lr", "0.1", "-q"], "/data"
        ... )
        >>> again.words()[:3], again.focus, again.others
        (['fit', '/data/a.npz::X', '/data/t.csv'], 2, [['--lr', '0.1']])
        """
        files, options = _parted(words[1:])
        form = cls()
        for which, name in zip(("fields", "targets"), files, strict=False):
            path, _, part = name.partition("::")
            setattr(form, which, Path(folder) / path)
            setattr(form, f"{which}_name", part)
        if form.targets == form.fields:
            form.targets = None
        elif form.targets is None:
            form.targets_name = ""
        for option, *values in options:
            if option not in _LEFT_OUT and not form._take(option, values):
                form.others.append([option, *values])
        return form

    def _take(self, option, values) -> bool:
        """Store the value of an option; return False if the form has no field for it."""
        name = {"-m": "model"}.get(option, option.removeprefix("--").replace("-", "_"))
        try:
            if (name, values) == ("categorical", []):
                self.values = "labels"
            elif (name, values) == ("channel_axis", ["-1"]):
                self.channels_last = True
            elif len(values) != 1:
                return False
            elif name == "angles" and values[0] in ANGLES:
                self.values = values[0]
            elif name == "boundary" and values[0] in BOUNDARIES:
                self.boundary = values[0]
            elif name in ("model", "unit"):
                setattr(self, name, values[0])
            elif name in ("focus", "context", "harmonics", "epochs", "seed"):
                setattr(self, name, int(values[0]))
            elif name == "max_seconds":
                self.minutes = float(values[0]) / 60
            elif name == "test_fraction" and (100 * float(values[0])).is_integer():
                self.test_percent = int(100 * float(values[0]))
            else:
                return False
        except ValueError:  # such as a focus of 1,2
            return False
        return True

    @property
    def channel_axis(self) -> int | None:
        """Axis of the channels; labels and angles, which become channels, have none."""
        return -1 if self.channels_last and self.values == "amounts" else None

    def words(self) -> list[str]:
        """Return the command as words, the first that of `sk-ednn`.

        Raises
        ------
        ValueError
            In the words of the form, where something is missing.
        """
        if self.fields is None:
            raise ValueError("Choose a file with your systems first.")
        words = ["fit", part_of(self.fields, self.fields_name)]
        if not self.structures:
            targets = self.targets or self.fields
            if not self.targets_name and targets == self.fields:
                raise ValueError("Choose the array or table column with the totals.")
            words.append(part_of(targets, self.targets_name))
        elif self.targets is not None and self.targets != self.fields:
            words.append(part_of(self.targets, self.targets_name))
        options: dict[str, Any] = {"model": self.model}
        if not self.structures:
            options |= {
                "focus": self.focus,
                "context": self.context,
                "boundary": None if self.boundary == "periodic" else self.boundary,
                "categorical": self.values == "labels",
                "angles": self.values if self.values in ANGLES else None,
            }
            if self.values in ANGLES and self.harmonics != 1:
                options["harmonics"] = self.harmonics
            options["channel-axis"] = self.channel_axis
        options |= {
            "unit": self.unit.strip(),
            "epochs": self.epochs,
            "max-seconds": round(60 * self.minutes) if self.minutes else None,
            "test-fraction": None if self.test_percent == 20 else self.test_percent / 100,
            "seed": self.seed or None,
        }
        return words + only_set(options) + [word for words in self.others for word in words]


def _parted(words) -> tuple[list[str], list[list[str]]]:
    """Return the arguments of a command, and its options, each with its values."""
    files: list[str] = []
    options: list[list[str]] = []
    for word in words:
        if re.fullmatch(r"--?[A-Za-z].*", word):
            name, equals, value = word.partition("=")
            options.append([name, value] if equals else [name])
        elif options and len(options[-1]) == 1 and options[-1][0] not in _FLAGS:
            options[-1].append(word)
        else:
            files.append(word)
    return files, options


@dataclass
class Count:
    """A fit of counts, as entered on its page.

    Attributes
    ----------
    pictures, totals : Path or None
    column : str
        Names of columns, separated by commas.
    minutes : float or None
        None for no limit besides `epochs`.
    amounts, upright : bool
    series : str
    reduction, members, epochs, seed : int or None
        None for the default of the command.
    others : dict of str to str
        Further options of a run that is done again, such as a table of dots.
    leave_out : str
        Parts of the pictures that are painted over, as on the command line; empty for its default.
    """

    pictures: Path | None = None
    totals: Path | None = None
    column: str = ""
    minutes: float | None = 12.0
    amounts: bool = False
    upright: bool = False
    series: str = ""
    reduction: int | None = None
    members: int | None = None
    epochs: int | None = None
    seed: int | None = None
    others: dict[str, str] = field(default_factory=dict)
    leave_out: str = ""

    @classmethod
    def of_run(cls, settings, folder) -> Count:
        """Return the form as it was for a run.

        Parameters
        ----------
        settings : dict
            Of the run. They may have been changed by hand: what is of another type is left out.
        folder : str or Path
            Folder of relative paths.

        Examples
        --------
        >>> from sk_ednn.ui._forms import Count
        >>> settings = {
        ...     "pictures": "photos",
        ...     "totals": "t.csv",
        ...     "minutes": 5,
        ...     "members": 5,
        ...     "seed": 0,
        ... }
        >>> Count.of_run({**settings, "dots": "d.csv", "upright": "?"}, "/data").words()
        ['count', 'fit', '/data/photos', '/data/t.csv', '--minutes', '5', '--members', '5',
        '--dots', '/data/d.csv']
        """

        def known(name, *kinds):
            value = settings.get(name)
            return value if type(value) in kinds else None

        def path(name):
            value = known(name, str)
            if not value or "\0" in value:
                return None
            return value if "://" in value else Path(folder) / value

        epochs, minutes = known("epochs", int), known("minutes", int, float)
        if minutes is None and epochs is None:
            minutes = cls.minutes
        others = {name: path(name) for name in _TABLES_OF_LABELS}
        # What the page leaves to the command is none of the words of a run.
        jobs = known("jobs", int)
        others["jobs"] = None if jobs == _JOBS else jobs
        others["missing-chunks"] = "fill" if settings.get("missing_chunks") == "fill" else None
        leave_out = known("leave_out", str) or ""
        return cls(
            path("pictures"), path("totals"), known("column", str) or "", minutes,
            known("amounts", bool) or False, known("upright", bool) or False,
            known("series", str) or "", known("reduction", int), known("members", int), epochs,
            known("seed", int) or None,
            {name: str(value) for name, value in others.items() if value is not None},
            "" if leave_out == "auto" else leave_out,
        )  # fmt: skip

    def words(self) -> list[str]:
        """Return the command as words."""
        if self.pictures is None:
            raise ValueError("Drop your pictures, or choose a folder with them.")
        if self.totals is None:
            raise ValueError("Add a table with the name of each picture and its number.")
        if not self.minutes and not self.epochs:
            raise ValueError("Enter the minutes of training.")
        whole = {
            name: None if value is None else _whole(name, value)
            for name, value in (
                ("reduction", self.reduction), ("members", self.members), ("epochs", self.epochs),
                ("seed", self.seed),
            )
        }  # fmt: skip
        for name, value in whole.items():
            if value is not None and value < (name != "seed"):
                least = int(name != "seed")
                raise ValueError(f"Expected at least {least} for {name}, got {value}.")
        words = ["count", "fit", str(self.pictures), str(self.totals)]
        options = {
            "minutes": f"{self.minutes:g}" if self.minutes else None,
            "column": self.column,
            "amounts": self.amounts,
            "upright": self.upright,
            "series": self.series.strip(),
            "leave-out": self.leave_out.strip(),
            **whole,
            **self.others,
        }
        return words + only_set(options)


@dataclass
class Search:
    """A structure search, as entered on its page.

    Attributes
    ----------
    composition : str
    kind : {"crystal", "cluster"}
    volume : float or None
        In Å³ per atom; None for a guess.
    n_labels : int
    calculator : str
        Key of `CALCULATORS`.
    seed : int
    """

    composition: str = "Si8"
    kind: str = "crystal"
    volume: float | None = 20.0
    n_labels: int = 200
    calculator: str = "silicon"
    seed: int = 0

    @property
    def file_name(self) -> str:
        """Name of the file of settings, which names the search."""
        return plain_name(f"{self.composition.strip()}.yaml")

    def settings(self) -> dict:
        """Return the content of the file of settings.

        Raises
        ------
        ValueError
            If the composition is none, in the words of the form.
        """
        from ..search._ase_ga import numbers_of

        try:
            numbers_of(self.composition)
        except Exception as error:  # ASE's parser raises several types
            raise ValueError(
                f"Expected the atoms of a cell, such as Si8 or Ti2O4; got {self.composition!r:.40}."
            ) from error
        settings = {
            "composition": self.composition,
            "kind": self.kind,
            "store": "search.db",
            "n_labels": _whole("calls of the reference method", self.n_labels),
            "labeller": CALCULATORS[self.calculator][1],
        }
        if self.volume is not None:
            settings["volume"] = float(self.volume)
        if self.seed:
            settings["random_state"] = _whole("a random seed", self.seed)
        return settings


def _whole(name, value) -> int:
    """Return a number of the form as an integer; raise ValueError if it is none."""
    if not isinstance(value, (int, float)) or not float(value).is_integer():
        raise ValueError(f"Expected a whole number for {name}, got {value!r}.")
    return int(value)


# Reference methods that run without further programs: words for people, settings of the labeller.
CALCULATORS: dict[str, tuple[str, dict]] = {
    "silicon": (
        "Silicon by Tersoff's potential (1988)",
        {"calculator": "sk_ednn.search.tersoff_silicon"},
    ),
    "emt": (
        "Al, Ni, Cu, Pd, Ag, Pt, Au by effective medium theory",
        {"calculator": "ase.calculators.emt.EMT"},
    ),
    "lennard-jones": (
        "Argon by Lennard-Jones",
        {
            "calculator": "ase.calculators.lj.LennardJones",
            "parameters": {"sigma": 3.4, "epsilon": 0.0104, "rc": 12.0, "smooth": True},
        },
    ),
}
