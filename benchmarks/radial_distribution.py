"""Simulations of graphene at 1,000 K with a model of total energies give the right g(r).

    python benchmarks/radial_distribution.py
    python benchmarks/radial_distribution.py --figure fig13.png

A ridge on local invariants learns the energies of porous sheets of 35 by 35 Å (REBO). It drives
Metropolis Monte Carlo and molecular dynamics in the plane of the sheet without holes, which is not
in the training data. Their radial distribution functions are compared with that of snapshots of
dynamics with the potential itself. Two halves of those snapshots give the statistical difference.
"""

from time import perf_counter

from _measure import arguments, machine, table

import numpy as np
from ase import units
from ase.constraints import FixCartesian
from ase.geometry.rdf import get_rdf
from ase.md.langevin import Langevin
from porous import local

from sk_ednn.atoms import EDNNCalculator
from sk_ednn.datasets import load_porous
from sk_ednn.simulation import AtomMetropolis

KELVIN = 1000
RMAX, BINS = 8.0, 160


def rings(sheet):
    """Return the distribution over rings of one sheet, from ASE's over shells."""
    found, r = get_rdf(sheet, rmax=RMAX, nbins=BINS)
    return found * 2 * r / sheet.cell[2, 2]


def dynamics(model, sheet, n_steps, every, seed):
    """Return sheets of Langevin dynamics in the plane, and their temperatures."""
    hot, rng = sheet.copy(), np.random.default_rng(seed)
    hot.calc = EDNNCalculator(model)
    hot.set_constraint(FixCartesian(range(len(hot)), mask=(False, False, True)))
    heat = rng.normal(size=(len(hot), 3)) * [1, 1, 0]
    hot.set_momenta(heat * np.sqrt(hot.get_masses() * units.kB * KELVIN)[:, None])
    run = Langevin(
        hot, 1.0 * units.fs, temperature_K=KELVIN, friction=0.01 / units.fs, rng=rng, fixcm=False
    )
    images, kelvin = [], []

    def record():
        images.append(hot.copy())
        kelvin.append(hot.get_kinetic_energy() / len(hot) / units.kB)

    run.attach(record, interval=every)
    run.run(n_steps)
    later = len(images) // 4
    return images[later:], float(np.mean(kelvin[later:]))


def monte_carlo(model, sheet, n_sweeps, every, seed):
    """Return sheets along a Markov chain, and the share of moves that were accepted."""
    sampler = AtomMetropolis(model, units.kB * KELVIN, step=0.06, random_state=seed)
    chain = sampler.run(sheet, n_sweeps, burn_in=n_sweeps // 3, interval=every)
    images = []
    for positions in chain.positions:
        image = sheet.copy()
        image.positions[:, :2] = positions
        images.append(image)
    return images, chain.acceptance


def main():
    options = arguments(__doc__, steps=2000, sweeps=120, seed=0, figure="")
    machine()
    steps, sweeps = (100, 4) if options.quick else (options.steps, options.sweeps)
    data, sheets = load_porous(), load_porous(as_ase=True).structures
    known = [sheets[k] for k in np.flatnonzero(data.n_holes == 0)]
    train = np.flatnonzero(data.n_holes > 0)
    if options.quick:
        train = train[:60]
    model = local(options.seed)
    model.fit([data.structures[k] for k in train], data.energies[train])
    off = model.predict(known) - data.energies[data.n_holes == 0]
    n_atoms, area = len(known[0]), np.prod(known[0].cell.lengths()[:2])
    off *= 1e3 / area
    print(
        f"trained on {len(train)} sheets with holes; {len(known)} without: mean error "
        f"{np.abs(off).mean():.3f} meV/Å², bias {off.mean():.3f}"
    )

    start = perf_counter()
    by_md, kelvin = dynamics(model, known[0], steps, max(1, steps // 100), options.seed)
    md_seconds = perf_counter() - start
    start = perf_counter()
    by_mc, accepted = monte_carlo(model, known[0], sweeps, max(1, sweeps // 40), options.seed)
    mc_seconds = perf_counter() - start
    print(f"dynamics: {steps} steps, {kelvin:.0f} K, {1e3 * md_seconds / steps:.0f} ms a step")
    print(f"Monte Carlo: {sweeps * 4 // 3} sweeps of {n_atoms} moves, {100 * accepted:.0f} % "
          f"accepted, {1e3 * mc_seconds / (sweeps * 4 / 3 * n_atoms):.2f} ms a move")  # fmt: skip

    r = get_rdf(known[0], rmax=RMAX, nbins=BINS)[1]
    curves = {
        "REBO, snapshots": known,
        "... half of them": known[::2],
        "... the other half": known[1::2],
        "dynamics on the model": by_md,
        "Monte Carlo on the model": by_mc,
    }
    curves = {
        name: np.mean([rings(image) for image in images], 0) for name, images in curves.items()
    }
    reference = curves["REBO, snapshots"]
    near = r < 1.9
    rows = []
    for name, g in curves.items():
        weight = g[near] * r[near]
        mean = np.average(r[near], weights=weight)
        spread = np.sqrt(np.average((r[near] - mean) ** 2, weights=weight))
        n_near = weight.sum() * (r[1] - r[0]) * 2 * np.pi * n_atoms / area
        rows.append([name, mean, spread, n_near, g.max(), np.abs(g - reference).mean()])
    table(["g(r) of", "first peak, Å", "its width, Å", "neighbours", "height", "mean |difference|"],
          rows)  # fmt: skip
    if options.figure:
        draw(r, curves).savefig(options.figure, dpi=110)


def draw(r, curves):
    """Draw the three curves, and the differences of the model from the potential."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    reference = curves["REBO, snapshots"]
    for name, colour, width in (
        ("REBO, snapshots", "#edae49", 4.0),
        ("dynamics on the model", "#22303c", 1.4),
        ("Monte Carlo on the model", "#2a9d8f", 1.4),
    ):
        above.plot(r, curves[name], color=colour, lw=width, label=name)
        if curves[name] is not reference:
            below.plot(r, curves[name] - reference, color=colour, lw=width)
    halves = np.abs(curves["... half of them"] - curves["... the other half"]) / 2
    below.fill_between(r, -halves, halves, color="#edae49", alpha=0.5, lw=0)
    above.set(ylabel="g(r)", xlim=(0.8, RMAX))
    above.set_title("graphene at 1,000 K, 448 atoms in 35 × 35 Å")
    above.legend(frameon=False)
    below.set(xlabel="r / Å", ylabel="difference")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
