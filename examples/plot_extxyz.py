"""
From a file of structures to a simulation
=========================================

An extended XYZ file, as most programs write it, contains structures with their energies. A ridge
regression learns the energies. The negative gradient of its prediction are the forces, with which
ASE relaxes an unseen sheet and simulates it at 1,000 K, for a radial distribution function. This
takes less than 60 lines, without those that write the file.
"""

# %%
# Write an example file: 100 sheets of porous graphene, cells of 35 × 35 Å at 1,000
# K, with energies of the REBO potential.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCartesian
from ase.geometry.rdf import get_rdf
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import EDNNCalculator, GaussianRasterizer, LocalInvariants, energies_of
from sk_ednn.datasets import load_porous
from sk_ednn.structures import read_structures

data = load_porous(as_ase=True)
order = np.random.default_rng(0).permutation(len(data.structures))[:100]
for k in order:
    data.structures[k].calc = SinglePointCalculator(data.structures[k], energy=data.energies[k])
path = Path(tempfile.mkdtemp()) / "sheets.extxyz"
write(path, [data.structures[k] for k in order])

# %%
# Fit the model. Atoms are drawn on pixels of 0.44 Å. A tile is a focus of 16 pixels, 7 Å, with 3.9
# Å of context around it, described by rotational invariants.

sheets = read_structures(path)
energies, _ = energies_of(sheets)
spacing, tiling = 35 / 80, GridTiling(focus=16, context=9)
describe = LocalInvariants(16, 9, spacing, scale=0.6, random_state=0)
model = make_pipeline(
    GaussianRasterizer(spacing, width=0.4, weights={"C": 1.0}),
    EDNNRegressor(make_pipeline(describe, Ridge(1e-6)), tiling, baseline="content"),
)
model.fit(sheets[:80], energies[:80])
errors = model.predict(sheets[80:]) - energies[80:]
print(f"mean error {1e3 * np.mean(np.abs(errors)) / 35**2:.2f} meV/Å² on 20 unseen sheets")

# %%
# Relax an unseen sheet, which removes its thermal energy. Atoms are constrained to the plane, as
# the model does not see heights.

sheet = sheets[80].copy()
sheet.calc = EDNNCalculator(model)
sheet.set_constraint(FixCartesian(range(len(sheet)), mask=(False, False, True)))
hot = sheet.get_potential_energy()
FIRE(sheet, logfile=None).run(fmax=0.3, steps=60)
print(f"{(hot - sheet.get_potential_energy()) / len(sheet):.3f} eV per atom lower")

# %%
# Run dynamics at 1,000 K, and compare the radial distribution function of the plane (ASE's, with
# rings instead of shells) with that of 20 sheets of the file.

rng = np.random.default_rng(0)
heat = rng.normal(size=(len(sheet), 3)) * [1, 1, 0]
sheet.set_momenta(heat * np.sqrt(sheet.get_masses() * units.kB * 2000)[:, None])
images = []
dynamics = Langevin(
    sheet, units.fs, temperature_K=1000, friction=0.02 / units.fs, rng=rng, fixcm=False
)
dynamics.attach(lambda: images.append(sheet.copy()), interval=5)
dynamics.run(150)


def rings(structures):
    """Return the mean radial distribution function of flat sheets, and the radii."""
    curves = [get_rdf(structure, rmax=6.0, nbins=120) for structure in structures]
    r = curves[0][1]
    return r, np.mean([g for g, _ in curves], axis=0) * 2 * r / structures[0].cell[2, 2]


figure, axes = plt.subplots(1, 2, figsize=(9.6, 4), layout="constrained")
axes[0].scatter(*images[-1].positions[:, :2].T, s=14, color="0.3")
axes[0].set(aspect="equal", xlabel="x / Å", ylabel="y / Å", title=f"{len(sheet)} atoms at 1,000 K")
axes[1].plot(*rings(sheets[80:]), color="#edae49", lw=3, label="20 sheets of the file")
axes[1].plot(*rings(images[10:]), color="#22303c", lw=1, label="dynamics on the model")
axes[1].set(xlabel="r / Å", ylabel="g(r)", title="radial distribution")
axes[1].legend(frameon=False)
plt.show()
