"""
A potential: energies, forces and dynamics
==========================================

A ridge on the power spectrum of atoms learns copper from 40 cells with forces, and a crystal of
eight times the size keeps its energy in dynamics on it.
"""

# %%
# Cells of 8 atoms, shaken and strained, with energies and forces of EMT.

import matplotlib.pyplot as plt
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.tiling import AtomTiling

rng = np.random.default_rng(0)


def shaken(repeat):
    """Return a strained cell of copper with labels."""
    atoms = bulk("Cu", cubic=True).repeat(repeat)
    atoms.set_cell(atoms.cell * (1 + rng.uniform(-0.03, 0.03)), scale_atoms=True)
    atoms.rattle(0.08, rng=rng)
    atoms.calc = EMT()
    atoms.get_forces()
    return atoms


train = [shaken((1, 1, 2)) for _ in range(40)]
test = [shaken((2, 2, 2)) for _ in range(5)]

# %%
# The tile of an atom is its power spectrum, and the tile model a ridge. Forces enter the fit
# along random directions.

tiling = AtomTiling(PowerSpectrum(cutoff=5.0, n_radial=5, max_l=3))
potential = EDNNPotential(EDNNRegressor(Ridge(1e-6), tiling, random_state=0))
potential.fit(train, stress=False)
errors = potential.errors(test)
print(f"{errors['energy_mae']:.2f} meV/atom, {errors['force_mae']:.0f} meV/Å on 32 atoms")

# %%
# Dynamics of 32 atoms without a thermostat: the total energy is that of the model.

atoms = bulk("Cu", cubic=True).repeat((2, 2, 2))
atoms.calc = potential.calculator()
MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=rng)
kinetic, total = [], []
dynamics = VelocityVerlet(atoms, 2 * units.fs)
dynamics.attach(lambda: kinetic.append(atoms.get_kinetic_energy() / len(atoms)))
dynamics.attach(lambda: total.append(atoms.get_total_energy() / len(atoms)))
dynamics.run(100)
total = 1e3 * (np.array(total) - total[0])
print(f"the total energy stays within {np.abs(total).max():.2f} meV/atom")

figure, ax = plt.subplots(figsize=(5.4, 3.5), layout="constrained")
times = 2 * np.arange(len(total))
ax.plot(times, 1e3 * (np.array(kinetic) - kinetic[0]), label="kinetic energy")
ax.plot(times, total, label="total energy")
ax.set(xlabel="time / fs", ylabel="change / meV per atom")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
