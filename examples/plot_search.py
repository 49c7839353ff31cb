"""
Structure search: fewer calls of the reference
==============================================

A search for the crystal of copper relaxes structures on a surrogate that it trains on the way,
and calls the reference method only for the most promising ones.
"""

# %%
# EMT replaces the reference method here. Two atoms in a cell of any shape; eighteen labels in all.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT

from sk_ednn.search import CalculatorLabeller, StructureSearch

folder = tempfile.TemporaryDirectory()
search = StructureSearch(
    "Cu2", CalculatorLabeller(EMT), store=Path(folder.name) / "copper.db", volume=12.0, n_initial=6,
    retrain_every=4,
)  # fmt: skip
result = search.run(18)
folder.cleanup()

# %%
# The first six are random. The line is the energy of the face-centred cubic crystal in EMT.

crystal = bulk("Cu", a=3.59)  # the lattice constant of this potential
crystal.calc = EMT()
best = crystal.get_potential_energy()
energies = result.energies
print(f"lowest {energies.min():.3f} eV/atom after {result.n_labels} labels, crystal {best:.3f}")
figure, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(np.arange(1, len(energies) + 1), energies, "o", mfc="white", label="labelled")
ax.step(
    np.arange(1, len(energies) + 1), np.minimum.accumulate(energies), where="post", label="lowest"
)
ax.axhline(best, color="0.6", ls=":", label="crystal")
ax.axvline(6.5, color="0.85", lw=1)
ax.set(xlabel="calls of the reference method", ylabel="energy / eV per atom")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
