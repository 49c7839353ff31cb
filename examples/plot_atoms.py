"""
Atoms: forces, relaxation and molecular dynamics
================================================

The bundled network, trained on energies and forces of small sheets of carbon, boron and nitrogen,
relaxes an unseen sheet and then drives molecular dynamics of one twice as large, both through ASE.
"""

# %%
# Take a sheet with graphene on one side and boron nitride on the other from those held back when
# the network was trained. The network sees it drawn with one channel per species.

import matplotlib.pyplot as plt
import numpy as np
import torch
from ase import units
from ase.constraints import FixCartesian
from ase.geometry.rdf import get_rdf
from ase.md.langevin import Langevin
from ase.optimize import BFGS

from sk_ednn.atoms import EDNNCalculator
from sk_ednn.datasets import load_sheets
from sk_ednn.pretrained import load_sheets_model

torch.set_num_threads(1)
model, sheets = load_sheets_model("image"), load_sheets(as_ase=True)
held_back = np.random.default_rng(0).permutation(len(sheets.energies))[:480]
mixed = [k for k in held_back if sheets.kind_names[sheets.kinds[k]] == "heterostructure"]
number = next(k for k in mixed if sheets.n_vacancies[k] == 1 and sheets.modes[k] == 1)
atoms = sheets.structures[number].copy()
atoms.calc = EDNNCalculator(model)

energy, forces = atoms.get_potential_energy(), atoms.get_forces()
error = 1e3 * (energy - sheets.energies[number]) / len(atoms)
print(f"{len(atoms)} atoms, error of the energy {error:.1f} meV/atom, of forces "
      f"{np.abs(forces[:, :2] - sheets.forces[number]).mean():.2f} eV/Å")  # fmt: skip

# %%
# Arrows are forces: those of the network in black, and in orange those of the quantum-mechanical
# method that it learned from. The map to the right shows the energies of tiles less the average
# energies of their atoms. Tiles are 0.8 Å wide; only the sum of their energies was learned.

species = np.array([5, 6, 7])
per_species = np.array([(sheet.numbers[:, None] == species).sum(0) for sheet in sheets.structures])
alone = np.linalg.lstsq(per_species, sheets.energies, rcond=None)[0]


def bound(sheet):
    """Return the energies of tiles less the average energies of the atoms drawn in them."""
    tiles = sheet.calc.get_property("tile_energies", sheet)
    field = model[0].transform([sheet])[0]
    by_tile = field.reshape(*(x for n in tiles.shape for x in (n, 4)), 3).sum(axis=(1, 3))
    return (
        tiles
        - by_tile / field.sum(axis=(0, 1)) * (sheet.numbers[:, None] == species).sum(0) @ alone
    )


def show(ax, sheet, image=None):
    """Draw atoms, over an image if one is given."""
    width, height = sheet.cell.lengths()[:2]
    if image is not None:
        limit = np.abs(image).max()
        drawn = ax.imshow(
            image.T, origin="lower", extent=(0, width, 0, height), cmap="RdBu_r", vmin=-limit,
            vmax=limit,
        )  # fmt: skip
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="eV per tile")
    x, y = (sheet.positions[:, :2] % (width, height)).T
    colours = np.array(["tab:pink", "0.35", "tab:blue"])[sheet.numbers - 5]
    ax.scatter(x, y, s=28, c=colours, edgecolors="white", linewidths=0.5, zorder=3)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xlabel="x / Å", ylabel="y / Å")
    return x, y


figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), layout="constrained")
x, y = show(axes[0], atoms)
for values, colour in ((sheets.forces[number], "tab:orange"), (forces[:, :2], "black")):
    axes[0].quiver(x, y, *values.T, color=colour, scale=4, scale_units="x", width=0.005, zorder=4)
axes[0].set_title("forces")
show(axes[1], atoms, bound(atoms))
axes[1].set_title("energies of tiles")
plt.show()

# %%
# Relax the sheet. The forces are the negative gradient of the energy, which falls at every step.

energies = []
relax = BFGS(atoms, logfile=None)
relax.attach(lambda: energies.append(atoms.get_potential_energy()))
relax.run(fmax=0.1, steps=80)
print(f"{relax.nsteps} steps, {energies[0] - energies[-1]:.2f} eV lower")

# %%
# Run molecular dynamics of graphene at 1,000 K, in a cell twice as large as those of the training:
# 0.1 ps of heating the perfect sheet, and another 0.1 ps. At every 25th step the calculator
# compares the tiles with those of 10 training sheets.

lattice = next(
    sheet for sheet, kind, n, mode, size in zip(
        sheets.structures, sheets.kinds, sheets.n_vacancies, sheets.modes, sheets.amplitudes,
        strict=True,
    ) if kind == 0 and n == 0 and mode == 0 and size < 0.01
)  # fmt: skip
hot = lattice.repeat((2, 1, 1))
graphene = [k for k in range(len(sheets.kinds)) if sheets.kinds[k] == 0 and k not in held_back]
train = [sheets.structures[k] for k in graphene[:10]]
hot.calc = EDNNCalculator(model, training=train, check_every=25)
hot.set_constraint(FixCartesian(range(len(hot)), mask=(False, False, True)))
rng = np.random.default_rng(0)
heat = rng.normal(size=(len(hot), 3)) * [1, 1, 0]
hot.set_momenta(heat * np.sqrt(hot.get_masses() * units.kB * 2000)[:, None])
dynamics = Langevin(
    hot, 1.0 * units.fs, temperature_K=1000, friction=0.02 / units.fs, rng=rng, fixcm=False
)
images, kelvin, shares = [], [], []


def record():
    """Record the sheet, its temperature and the share of novel tiles."""
    images.append(hot.copy())
    kelvin.append(hot.get_kinetic_energy() / len(hot) / units.kB)
    if "novel" in hot.calc.results:
        shares.append(hot.calc.results["novel"])


dynamics.attach(record, interval=5)
dynamics.run(200)
print(f"{np.mean(kelvin[20:]):.0f} K, {100 * np.mean(shares):.1f} % of the tiles novel")

# %%
# ASE computes the radial distribution function, converted here to that of a plane. The reference is
# the training sheets of graphene without holes, from dynamics at 800 to 1,200 K.


def rings(sheet, rmax=6.0, nbins=120):
    """Return the distribution over rings, and their radii."""
    g, r = get_rdf(sheet, rmax=rmax, nbins=nbins)
    return g * 2 * r / sheet.cell[2, 2], r


reference = [
    sheets.structures[k]
    for k in graphene
    if sheets.n_vacancies[k] == 0 and sheets.modes[k] == 1 and 800 < sheets.amplitudes[k] < 1200
]
r = rings(hot)[1]
simulated = np.mean([rings(image)[0] for image in images[20:]], axis=0)
known = np.mean([rings(sheet)[0] for sheet in reference], axis=0)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
axes[0].plot((np.array(energies) - energies[-1])[:-1], ".-", color="0.3")
axes[0].set(xlabel="step", ylabel="energy above the last / eV", title="relaxation", yscale="log")
show(axes[1], images[-1])
axes[1].set_title(f"graphene at 1,000 K, {len(hot)} atoms")
axes[2].plot(r, known, color="tab:orange", label=f"{len(reference)} training sheets")
axes[2].plot(r, simulated, color="black", lw=1, label="dynamics on the model")
axes[2].set(xlabel="r / Å", ylabel="g(r)", title="radial distribution", xlim=(0, 6))
axes[2].legend(frameon=False)
plt.show()
