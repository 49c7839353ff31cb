"""Densities and potentials on the grid of a cell: cube files, VASP's, XSF; read by ASE."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.file_names import files_of, require_plain, require_whole_end
from .._utils.masks import require_unmasked
from .._utils.optional import needing

BOHR = 0.529177210903  # Å, CODATA 2018
_DENSITY = "e/Å^3"
_FACTORS = {_DENSITY: 1.0, "e/bohr^3": BOHR**-3}
# Spellings of units of densities: e/bohr^3, electrons/Angstrom**3, e Å⁻³, 1/a0^3 and others.
_SPELLING = re.compile(
    r"(?:(?:e|el|electrons?|1)?\s*/\s*(?:(?P<bohr>bohr|a0|a_0)|å|ang|angstroms?|a)\s*(?:\^|\*\*)?\s*[3³]"
    r"|(?:(?:e|el|electrons?)[\s*]*)?(?:(?P<other>bohr|a0|a_0)|å|ang|angstroms?|a)\s*(?:\^|\*\*)?\s*"
    r"(?:-3|\(-3\)|⁻³))",
    re.IGNORECASE,
)
_CUBES = {".cube", ".cub"}
_VASP = {"CHGCAR": _DENSITY, "CHG": _DENSITY, "AECCAR": _DENSITY, "PARCHG": _DENSITY,
         "LOCPOT": "eV", "ELFCAR": "1"}  # fmt: skip
_DATAGRID = "BEGIN_BLOCK_DATAGRID_3D"
_XSF_LINES = 100_000  # looked through for a grid


@dataclass(frozen=True, eq=False)
class Density:
    """A density, or another scalar, on the grid of a cell.

    Parameters
    ----------
    values : ndarray of shape (n_a, n_b, n_c)
        One value per voxel; axes run along the lattice vectors, which may be oblique.
    voxel : ndarray of shape (3, 3), in Å
        Edges of a voxel as rows: the lattice vectors over the numbers of points.
    unit : str, default="e/Å^3"
        Unit of the values.
    spin : ndarray of shape (n_a, n_b, n_c) or None, default=None
        Spin density (up less down) in the same unit.
    structure : ase.Atoms or None, default=None

    Raises
    ------
    ValueError
        If shapes are inconsistent, or the voxel is flat.

    Examples
    --------
    Two electrons spread over a cell of 3 × 3 × 3 Å:

    >>> import numpy as np
    >>> from sk_ednn.structures import Density
    >>> density = Density(np.full((6, 6, 6), 2 / 27), 0.5 * np.eye(3))
    >>> print(f"{density.integral:.3f} electrons, voxels of {density.voxel_volume:.3f} Å³")
    2.000 electrons, voxels of 0.125 Å³
    """

    values: np.ndarray
    voxel: np.ndarray
    unit: str = _DENSITY
    spin: np.ndarray | None = None
    structure: Any = None

    def __post_init__(self):
        require_unmasked(self.values, "values")
        require_unmasked(self.spin, "spin")
        values, voxel = np.asarray(self.values), np.asarray(self.voxel, dtype=np.float64)
        if values.ndim != 3 or values.dtype.kind not in "biuf":
            raise ValueError(
                "values must be real numbers of shape (n_a, n_b, n_c); got shape "
                f"{values.shape} and dtype {values.dtype}."
            )
        if voxel.shape != (3, 3) or not np.isfinite(voxel).all():
            raise ValueError(
                f"voxel must have shape (3, 3), an edge in each row, in Å; got {self.voxel!r}."
            )
        lengths = np.linalg.norm(voxel, axis=1)
        if not abs(np.linalg.det(voxel)) > 1e-9 * lengths.prod():
            raise ValueError(f"The edges of the voxel span no volume: {voxel.tolist()}.")
        spin = None if self.spin is None else np.asarray(self.spin)
        if spin is not None and spin.shape != values.shape:
            raise ValueError(f"spin has shape {spin.shape}, values have {values.shape}.")
        for name, value in (("values", values), ("voxel", voxel), ("spin", spin)):
            object.__setattr__(self, name, value)

    def __array__(self, dtype=None, copy=None):
        """Raise, since an array would lose the voxel."""
        raise TypeError(
            "A Density is not an array, which would lose its voxel. Put "
            "sk_ednn.encoders.DensityFields before the regressor in a Pipeline, or pass "
            "density.values."
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each lattice vector."""
        return self.values.shape

    @property
    def cell(self) -> np.ndarray:
        """Lattice vectors as rows, in Å."""
        return self.voxel * np.array(self.shape)[:, None]

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in Å³."""
        return float(abs(np.linalg.det(self.voxel)))

    @property
    def integral(self) -> float:
        """Sum of the values times the volume of a voxel: electrons, for a density in e/Å^3."""
        return float(self.values.sum(dtype=np.float64) * self.voxel_volume)

    def resampled(self, shape) -> Density:
        """Return the density on another number of points, by its Fourier coefficients.

        Parameters
        ----------
        shape : tuple of 3 int

        Returns
        -------
        Density
            Density of the same cell and the same integral. The grid is taken as periodic; waves
            that are too short for a coarser grid are dropped.
        """
        from scipy.signal import resample

        shape = tuple(int(n) for n in shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three positive integers; got {shape}.")

        def along_all(values):
            for axis, n in enumerate(shape):
                values = resample(np.asarray(values, dtype=np.float64), n, axis=axis)
            return values

        return replace(
            self,
            values=along_all(self.values),
            voxel=self.cell / np.array(shape)[:, None],
            spin=None if self.spin is None else along_all(self.spin),
        )


def read_densities(names, *, unit=None):
    """Read densities or potentials on grids: cube, CHGCAR, LOCPOT and their like, XSF.

    Parameters
    ----------
    names : str, path-like or sequence of them
        Files, folders or patterns such as ``"runs/*/CHGCAR"``.
    unit : str or None, default=None
        Unit of the numbers in cube and XSF files: "e/bohr^3" and "e/Å^3", in any spelling, are
        densities; any other, such as "eV", is kept as it is. None takes "e/bohr^3" for cube files,
        the convention of their format, and raises an error for XSF, which has no convention. Files
        of VASP need none.

    Returns
    -------
    list of Density
        Densities in e/Å^3. Frames of a file are in the order of the file. `spin` is set for files
        with a spin density.

    Raises
    ------
    MissingExtraError
        If ASE is not installed.
    FileNotFoundError
        If a file does not exist or a pattern has no match.
    ValueError
        If a file cannot be read, contains several fields (orbitals), or its repeated last points
        differ from the first.

    Notes
    -----
    Conventions of the formats: a cube file has the edges of a voxel, in bohr. CHGCAR contains the
    density times the volume of the cell, LOCPOT the potential in eV, undivided. The grids of XSF
    repeat the first point of each axis at its end, which is checked and left out.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ase.build import bulk
    >>> from ase.io import write
    >>> from sk_ednn.structures import read_densities
    >>> atoms = bulk("Al", cubic=True)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "al.cube"
    ...     write(path, atoms, data=np.full((4, 4, 4), 0.0267))
    ...     [density] = read_densities(path)
    >>> print(f"{density.integral:.1f} electrons, {density.values.max():.2f} {density.unit}")
    12.0 electrons, 0.18 e/Å^3
    """
    with needing("Reading densities"):
        import ase.io  # noqa: F401
    parts = [names] if isinstance(names, (str, PathLike)) else names
    return [
        density
        for name in parts
        for file, index in files_of(fspath(name))
        for density in _read(file, index, unit)
    ]


def is_density(path) -> bool:
    """Return True if a file is a field on a grid, by its name and, for XSF, by its lines."""
    path = Path(path)
    if path.suffix.lower() in _CUBES or _vasp_unit(path) is not None:
        return True
    if path.suffix.lower() != ".xsf" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return any(_DATAGRID in line for line, _ in zip(file, range(_XSF_LINES), strict=False))


def _vasp_unit(path) -> str | None:
    """Return the unit of a file of VASP by its name, such as CHGCAR, CHGCAR.3 or CHGCAR_sum."""
    stem = (
        Path(path).name.partition(".")[0].partition("_")[0].partition("-")[0].rstrip("0123456789")
    )
    return _VASP.get(stem)


class _Unsuitable(ValueError):
    """A file that could be read, and cannot be used; the message says why."""


def _require_whole(path) -> None:
    try:
        require_whole_end(path)
    except ValueError as error:
        raise _Unsuitable(str(error)) from error


def _read(file, index, unit) -> list[Density]:
    if index is not None:
        raise ValueError(f"{file}@{index}: name the file alone; each file of a grid is read whole.")
    path = Path(file)
    require_plain(path)
    if unit is not None and not str(unit).strip():
        raise ValueError("unit is an empty text: expected a unit such as 'e/bohr^3', or None.")
    try:
        _require_whole(path)
        if path.suffix.lower() in _CUBES:
            return [_cube(path, unit)]
        if path.suffix.lower() == ".xsf":
            return [_xsf(path, unit)]
        if _vasp_unit(path) is not None:
            return _vasp(path)
    except _Unsuitable as error:
        raise ValueError(f"{path} cannot be read as a field on a grid: {error}") from error
    except Exception as error:  # whatever a reader of ASE stumbles over
        why = str(error).partition("\n")[0].rstrip(". ") or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a field on a grid: {why}. The file may be truncated or "
            "damaged, or have other numbers of points or atoms than it states: copy or write it "
            "again."
        ) from error
    raise ValueError(
        f"{path} does not have the name of a field on a grid: expected .cube, .cub, .xsf, or a "
        f"name that begins with {', '.join(_VASP)}."
    )


def _scaled(values, unit) -> tuple[np.ndarray, str]:
    """Return values with their unit; densities in e/Å^3."""
    spelling = _SPELLING.fullmatch(unit.strip())
    if spelling is not None:
        unit = "e/bohr^3" if spelling["bohr"] or spelling["other"] else _DENSITY
    factor = _FACTORS.get(unit)
    if not np.isfinite(values).all():
        raise _Unsuitable("it contains NaN or infinity")
    return (values, unit) if factor is None else (values * factor, _DENSITY)


def _cube(path, unit) -> Density:
    from ase.io.cube import read_cube

    with path.open(encoding="utf-8", errors="replace") as file:
        head = [file.readline() for _ in range(6)]
        if not all(line.split() for line in head[2:]):
            raise _Unsuitable("it ends before the numbers of points")
        if any(int(line.split()[0]) <= 0 for line in head[3:]):
            raise _Unsuitable(
                "numbers of points must be positive, with edges in bohr; negative ones, for edges "
                "in Å, are not supported: write edges in bohr"
            )
        file.seek(0)
        content = read_cube(file)
    if len(content["datas"]) > 1 or len(content["labels"]) > 1:
        raise _Unsuitable("it has several fields, and one is expected: write one file for each")
    values, unit = _scaled(content["data"], unit or "e/bohr^3")
    return Density(values, content["spacing"], unit, structure=content["atoms"])


def _vasp(path) -> list[Density]:
    from ase.calculators.vasp import VaspChargeDensity

    read = VaspChargeDensity(str(path))
    if not read.chg:
        raise _Unsuitable("it has no grid")
    unit, several = _vasp_unit(path) or _DENSITY, bool(read.chgdiff)
    shape = [str(n) for n in read.chg[0].shape]
    with path.open(encoding="utf-8", errors="replace") as lines:
        n_grids = sum(line.split() == shape for line in lines)
    if n_grids != len(read.chg) + len(read.chgdiff):
        raise _Unsuitable(
            f"it has {n_grids} grids, of which {len(read.chg) + len(read.chgdiff)} could be read, "
            "and one or two of each structure are expected: write one file for each"
        )
    if several and len(read.chgdiff) != len(read.chg):
        raise _Unsuitable("it has more than a density and one spin density: non-collinear spins?")
    densities = []
    for k, (atoms, values) in enumerate(zip(read.atoms, read.chg, strict=True)):
        # ASE divides by the volume of the cell, which only densities are multiplied by.
        factor = 1.0 if unit == _DENSITY else atoms.get_volume()
        spin = factor * read.chgdiff[k] if several else None
        values, _ = _scaled(factor * values, unit)
        voxel = atoms.cell.array / np.array(values.shape)[:, None]
        densities.append(Density(values, voxel, unit, spin, atoms))
    return densities


def _xsf(path, unit) -> Density:
    from ase.io.xsf import read_xsf

    if unit is None:
        raise _Unsuitable(
            "XSF files do not state their unit: pass unit= (--density-unit of sk-ednn) 'e/bohr^3', "
            "as Quantum ESPRESSO writes densities, 'e/Å^3', or that of the values, such as 'eV'"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.count("BEGIN_DATAGRID_3D") != 1:
        raise _Unsuitable("expected one DATAGRID_3D: write one file for each field")
    with path.open(encoding="utf-8", errors="replace") as file:
        values, _, spans, atoms = read_xsf(file, read_data=True)
    if atoms.cell.rank == 3 and not np.allclose(spans, atoms.cell.array, rtol=1e-4, atol=1e-4):
        raise _Unsuitable(
            f"its grid spans {spans.tolist()} Å and the cell {atoms.cell.array.tolist()}; write "
            "the grid of the whole cell"
        )
    if min(values.shape) < 2:
        raise _Unsuitable(
            f"a grid of {values.shape} points has no last point that repeats the first"
        )
    size = np.abs(values).max() or 1.0
    for axis in range(3):
        first, last = np.take(values, 0, axis), np.take(values, -1, axis)
        if np.abs(first - last).max() > 1e-4 * size:
            raise _Unsuitable(
                f"the last points along axis {axis} differ from the first, which they repeat in "
                "an XSF grid of a periodic cell; write the grid of the whole cell"
            )
    values, scaled = _scaled(np.ascontiguousarray(values[:-1, :-1, :-1]), unit)
    return Density(values, spans / np.array(values.shape)[:, None], scaled, structure=atoms)
