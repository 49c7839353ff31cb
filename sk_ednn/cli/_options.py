"""Options of the commands, in groups by what they are about. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from ._config import ConfigFile, SaveConfig
from ._models import TILE_MODELS
from ._potential_options import POTENTIALS
from ._runs import ClockFile, RunFolder

Fields = Annotated[
    str,
    typer.Argument(
        help="File of fields: .npy, .npz, .h5 or .zarr, with ::NAME for one of several arrays; "
        "or of densities: .cube, CHGCAR, LOCPOT or .xsf; or of structures of atoms: .extxyz, "
        ".traj, POSCAR or another format of ASE; or photographs: .png, .jpg or .tif. A folder, or "
        "a pattern such as 'runs/*.extxyz', means several files."
    ),
]
DensityUnit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the numbers in .cube and .xsf files: e/bohr^3 (default for .cube), e/Å^3, or "
        "another, such as eV, for fields that are not densities.",
        autocompletion=lambda: ["e/bohr^3", "e/Å^3", "eV"],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress, only results and warnings.")
]
Focus = Annotated[
    str,
    typer.Option(
        help="Length of the focus in sites, or one per axis, such as 2,2; none for the whole axis."
    ),
]
Context = Annotated[
    str, typer.Option(help="Width of the context on each side in sites, or one per axis.")
]
Boundary = Annotated[
    str,
    typer.Option(
        help="Continuation of fields at their edges: periodic, zero, reflect or nearest.",
        autocompletion=lambda: ["periodic", "zero", "reflect", "nearest"],
    ),
]
Remainder = Annotated[
    str,
    typer.Option(
        help="If the focus does not divide an axis: error, or pad to extend the last tile beyond "
        "the edge.",
        autocompletion=lambda: ["error", "pad"],
    ),
]
ChannelAxis = Annotated[
    int | None, typer.Option(help="Axis of the channels of one field; -1 for the last axis.")
]
Group = Annotated[
    str | None,
    typer.Option(
        help="Potentials: hold out whole groups of structures, by an entry of info such as "
        "config_type, a column of the table of energies, by file or by composition."
    ),
]
ErrorsBy = Annotated[
    str | None,
    typer.Option(
        help="Potentials: also print errors by an entry of info, a column of the table of "
        "energies, by file or by composition. "
        "Default: by --group."
    ),
]
ErrorsFile = Annotated[
    Path | None,
    typer.Option(
        help="Potentials: .csv file for the error of each structure, with its interval, deviation "
        "over the networks and novelty."
    ),
]
Jobs = Annotated[int | None, typer.Option(help="Number of workers; -1 for all cores.")]


@dataclass
class Systems:
    """The systems that are learned from, and their totals."""

    panel: ClassVar[str] = "Systems"
    fields: Fields
    targets: Annotated[
        str | None,
        typer.Argument(
            help="File of the totals, .csv or .txt too; rows may name files of structures. "
            "Default: the totals are in the first file."
        ),
    ] = None


@dataclass
class ModelChoice:
    """Model of the contribution of a tile."""

    panel: ClassVar[str] = "Model"
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"Tile model of fields: {', '.join(TILE_MODELS)}. Potential of structures: "
            f"{', '.join(POTENTIALS)}. auto chooses by the tiles, and spectrum for structures with "
            "forces.",
            autocompletion=lambda: ["auto", *TILE_MODELS, *POTENTIALS],
        ),
    ] = "auto"
    baseline: Annotated[
        str,
        typer.Option(
            help="Part of totals that is fitted by least squares: size (numbers of tiles), content "
            "(sums of channels too) or none.",
            autocompletion=lambda: ["size", "content", "none"],
        ),
    ] = "size"
    symmetries: Annotated[
        str | None,
        typer.Option(
            help="Operations on the lattice that leave totals as they are: reflect, rotate (by 90 "
            "degrees) and flip (the sign of all values), separated by commas. Fewer systems then "
            "suffice, with --model quadratic, cubic or dense.",
            autocompletion=lambda: ["reflect,rotate", "reflect", "reflect,rotate,flip"],
        ),
    ] = None


@dataclass
class Tiles:
    """Tiles of fields."""

    panel: ClassVar[str] = "Tiles of fields"
    focus: Focus = "1"
    context: Context = "1"
    boundary: Boundary = "periodic"
    channel_axis: ChannelAxis = None
    remainder: Remainder = "error"


@dataclass
class Values:
    """Meaning of the numbers in fields."""

    panel: ClassVar[str] = "Values of fields"
    categorical: Annotated[
        bool,
        typer.Option(
            "--categorical",
            help="Values of fields are labels: use one channel of 0 and 1 per label.",
        ),
    ] = False
    angles: Annotated[
        str | None,
        typer.Option(
            help="Values of fields are angles of this period, such as 2pi or 360: use their cosine "
            "and sine as channels.",
            autocompletion=lambda: ["2pi", "360", "pi", "180"],
        ),
    ] = None
    harmonics: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="With --angles: also use multiples of each angle, up to this one: 2 for energies "
            "with cos 2θ.",
        ),
    ] = 1
    density_unit: DensityUnit = None


@dataclass
class Measurement:
    """Systems held out to measure the error, random numbers, workers."""

    panel: ClassVar[str] = "Measurement and resources"
    test_fraction: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of the systems held out to measure the error."),
    ] = 0.2
    group: Group = None
    errors_by: ErrorsBy = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0
    jobs: Jobs = None
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Limit in seconds: of the training of a potential (default: 600, or none with "
            "--epochs), or of a tile model that --model auto compares."
        ),
    ] = None


@dataclass
class Training:
    """Training of networks, and its interruption."""

    panel: ClassVar[str] = "Training of networks"
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of passes of a network over the data.")
    ] = None
    lr: Annotated[
        float | None,
        typer.Option(help="Maximum learning rate of a network. With --start, by default its own."),
    ] = None
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after this number of epochs without improvement on a tenth of the systems, "
            "and keep the best epoch.",
        ),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="Device for training a network: cpu, cuda or auto.")
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="File for the state of the training after each epoch. If it exists, training "
            "resumes from it."
        ),
    ] = None
    keep_on_interrupt: Annotated[
        bool,
        typer.Option(
            "--keep-on-interrupt",
            help="On Ctrl-C write the best epoch so far without asking.",
        ),
    ] = False


@dataclass
class Atoms:
    """Labels of structures, and the choice between images and potentials."""

    panel: ClassVar[str] = "Structures of atoms"
    energy: Annotated[
        str | None,
        typer.Option(
            help="Structures: name of the energy in the files. Default: energy, or the only name "
            "that contains it."
        ),
    ] = None
    forces: Annotated[
        bool, typer.Option("--forces", help="Images of structures: also learn the forces.")
    ] = False
    images: Annotated[
        bool,
        typer.Option("--images", help="Structures: fit a model of images instead of a potential."),
    ] = False
    labels: Annotated[
        str | None,
        typer.Option(
            help="Potentials: names of labels in the files, such as energy=REF_energy,"
            "forces=REF_forces,stress=none. Default: found automatically."
        ),
    ] = None


@dataclass
class Images:
    """Drawing of structures as fields."""

    panel: ClassVar[str] = "Images of structures"
    spacing: Annotated[
        str | None,
        typer.Option(
            help="Distance of pixels in Å, or one per axis. Default: chosen by the cells."
        ),
    ] = None
    width: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the Gaussian of an atom in Å. Default: 0.4 in a plane, 0.5 "
            "in three dimensions."
        ),
    ] = None
    plane: Annotated[
        str | None,
        typer.Option(help="xy, xz, yz or xyz. Default: a plane for sheets, otherwise xyz."),
    ] = None
    adjust: Annotated[
        float | None,
        typer.Option(
            help="Largest relative stretch of pixels, such as 0.02. Default: chosen by the cells."
        ),
    ] = None


@dataclass
class Potentials:
    """Potentials of atoms and their training."""

    panel: ClassVar[str] = "Potentials"
    cutoff: Annotated[
        float | None,
        typer.Option(help="Radius of the surroundings of an atom in Å. Default: 6."),
    ] = None
    averages: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of averages over each structure that all its atoms see, such as 8, for "
            "charge transfer between defects. Default: 0.",
        ),
    ] = None
    repulsion: Annotated[
        bool,
        typer.Option(
            "--repulsion",
            help="Start from the repulsion of nuclei, where some atoms are much closer than bonded "
            "ones.",
        ),
    ] = False
    screening: Annotated[
        bool,
        typer.Option(
            "--screening",
            help="With --model spectrum: learn how atoms between two others screen them. Try it "
            "where errors of training stay large.",
        ),
    ] = False
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Shrink weights at this rate, against overfitting, such as 0.3 for hot or liquid "
            "cells. Default: 0, or that of --start.",
        ),
    ] = None
    members: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of networks that share the time and are averaged: 4 for some hundred "
            "structures. Default: 1.",
        ),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(help="Model file from which to continue, with these structures."),
    ] = None
    clock: ClockFile = None


@dataclass
class FitOutput:
    """Files that a fit writes."""

    panel: ClassVar[str] = "Files"
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of the totals, such as eV, to be stored in the model file."),
    ] = None
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the fitted model.")] = (
        Path("model.ednn")
    )
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model file.")] = False
    report: Annotated[Path | None, typer.Option(help="Also write an .html report on the fit.")] = (
        None
    )
    errors: ErrorsFile = None


@dataclass
class Recording:
    """Records of the command, and its messages."""

    panel: ClassVar[str] = "Runs, settings and messages"
    run: RunFolder = None
    config: ConfigFile = None
    save_config: SaveConfig = None
    as_json: Json = False
    quiet: Quiet = False


@dataclass
class Confidence:
    """Confidence of predicted totals."""

    panel: ClassVar[str] = "Confidence"
    interval: Annotated[
        Path | None,
        typer.Option(
            help="The predictions.csv of a recorded fit, for intervals of 90 % from its errors. "
            "Default: errors of systems held out that are in the model file."
        ),
    ] = None
    novelty: Annotated[
        str | None,
        typer.Option(
            help="The fields of the fit: also print the share of tiles unlike theirs, with a "
            "novelty above 1. Potentials need no file."
        ),
    ] = None
    sort: Annotated[
        str | None,
        typer.Option(
            help="Those to trust least first: by interval, of structures per atom, or by novelty, "
            "of structures the mean over their atoms. For printed totals and .csv. Default: the "
            "order of the data.",
            autocompletion=lambda: ["interval", "novelty"],
        ),
    ] = None


@dataclass
class Dynamics:
    """Molecular dynamics: the ensemble and its steps."""

    panel: ClassVar[str] = "Dynamics"
    ensemble: Annotated[
        str,
        typer.Option(
            help="nvt (Langevin thermostat), nve, or npt (constant pressure).",
            autocompletion=lambda: ["nvt", "nve", "npt"],
        ),
    ] = "nvt"
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature in K.")] = 300.0
    pressure: Annotated[
        float,
        typer.Option(help="Pressure in GPa, for npt: with the kinetic part, as it is printed."),
    ] = 0.0
    timestep: Annotated[float, typer.Option(help="Time step in fs.")] = 1.0
    steps: Annotated[int, typer.Option(min=1, help="Number of steps.")] = 1000
    interval: Annotated[int, typer.Option(min=1, help="Number of steps between frames.")] = 10
    seed: Annotated[int, typer.Option(min=0, help="Seed of random numbers.")] = 0
