"""Folders of the Deep Potential's format: arrays of frames that share a list of atoms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._utils.file_names import require_plain
from ._elements import atomic_number

# The arrays of a set, with the numbers a frame has of each; n is the number of atoms.
_ARRAYS = {"coord": "3n", "box": "9", "energy": "1", "force": "3n", "virial": "9"}


def is_deepmd(path) -> bool:
    """Return True if a folder is one system in DeePMD-kit's format."""
    return Path(path).is_dir() and (Path(path) / "type.raw").is_file()


def read_deepmd(folder) -> Iterator:
    """Yield the frames of a system in DeePMD-kit's ``npy`` or ``raw`` format as `ase.Atoms`.

    Parameters
    ----------
    folder : str or Path
        With ``type.raw``, ``type_map.raw``, and sets ``set.*`` of ``.npy`` files or files ``.raw``:
        coord, box, and where known energy, force, virial. A file ``nopbc`` means that nothing
        repeats; ``real_atom_types.npy`` gives the types of each frame, -1 for none.

    Yields
    ------
    ase.Atoms
        With a calculator of the known labels. DeePMD's virial is minus the volume times the stress.

    Raises
    ------
    ValueError
        If arrays are missing, or their shapes do not go together.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    folder = Path(folder)
    _require_plain_files(folder)
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    if not (folder / "type_map.raw").is_file():
        raise ValueError("it has no type_map.raw, which names the element of each type")
    names = (folder / "type_map.raw").read_text(encoding="utf-8").split()
    numbers = np.array([atomic_number(name) for name in names])
    open_ends = (folder / "nopbc").exists()
    for arrays in _sets(folder, len(types)):
        for k in range(len(arrays["coord"])):
            of_frame = arrays["real_atom_types"][k] if "real_atom_types" in arrays else types
            if of_frame.max(initial=0) >= len(numbers) or of_frame.min(initial=0) < -1:
                raise ValueError(f"a type of frame {k} is not among the {len(numbers)} of the map")
            real = of_frame >= 0
            box = arrays.get("box")
            atoms = Atoms(
                numbers[of_frame[real]],
                arrays["coord"][k].reshape(-1, 3)[real],
                cell=None if box is None or open_ends else box[k].reshape(3, 3),
                pbc=not open_ends,
            )
            results = {}
            if "energy" in arrays:
                results["energy"] = float(arrays["energy"][k].item())
            if "force" in arrays:
                results["forces"] = arrays["force"][k].reshape(-1, 3)[real]
            if "virial" in arrays and not open_ends:
                virial = arrays["virial"][k].reshape(3, 3)
                results["stress"] = full_3x3_to_voigt_6_stress(-virial / atoms.cell.volume)
            if results:
                atoms.calc = SinglePointCalculator(atoms, **results)
            yield atoms


def _require_plain_files(folder) -> None:
    """Raise if a file of a system is a pipe or a device, whose reading may never end."""
    for path in (*folder.glob("*.raw"), *folder.glob("set.*/*.npy")):
        require_plain(path)


def _sets(folder, n_atoms) -> Iterator[dict]:
    """Yield the arrays of each set of frames."""
    sets = sorted(each for each in folder.glob("set.*") if each.is_dir())
    for where in sets or [folder]:
        arrays = {}
        for name in _ARRAYS:
            if sets and (where / f"{name}.npy").is_file():
                arrays[name] = np.load(where / f"{name}.npy", allow_pickle=False)
            elif not sets and (where / f"{name}.raw").is_file():
                arrays[name] = np.loadtxt(where / f"{name}.raw", ndmin=2)
        if (where / "real_atom_types.npy").is_file():
            arrays["real_atom_types"] = np.load(where / "real_atom_types.npy", allow_pickle=False)
        if "coord" not in arrays:
            raise ValueError(f"{where.name} has no coord: neither set.*/coord.npy nor coord.raw")
        n_frames = len(arrays["coord"])
        for name, values in arrays.items():
            width = {"3n": 3 * n_atoms, "9": 9, "1": 1, "": n_atoms}[_ARRAYS.get(name, "")]
            arrays[name] = values = values.reshape(len(values), -1)
            if name == "energy" and values.shape == (1, n_frames):
                arrays[name] = values = values.T
            if values.shape != (n_frames, width):
                raise ValueError(
                    f"{where.name}/{name} must be of shape ({n_frames}, {width}) for {n_frames} "
                    f"frames of {n_atoms} atoms, got {values.shape}"
                )
        yield arrays
