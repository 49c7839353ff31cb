"""A square micrometre of porous graphene, 35 million atoms, drawn block by block and summed.

Run with ``python benchmarks/micrometre.py``; about an hour, ``--quick`` for a minute. Prints time,
energy per atom and peak memory against the number of atoms, from 1,000 up. The sheet is a formula:
where its atoms are follows from their number, so that neither they nor their image ever exist as a
whole. The model learns from the bundled sheets of graphene, or from ``--train FILE`` as
`sk_ednn.datasets.load_porous` reads it; ``--journal FOLDER`` goes on with a run that was stopped.
"""

import _measure

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import dask
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsSource, GaussianRasterizer, LocalInvariants
from sk_ednn.datasets import load_porous, load_sheets
from sk_ednn.evaluation import DaskBlocks

CELL = np.array([12.5, 13.0])  # of the bundled sheets, in Å: 5 by 3 rectangles of four atoms
RECTANGLE = CELL / [5, 3]
BASIS = np.array([[0, 0], [1 / 2, 1 / 6], [1 / 2, 1 / 2], [0, 2 / 3]])
SPACING, FOCUS, CONTEXT = tuple(CELL / 32), 16, 10
DISPLACED = 0.08  # Å, standard deviation along each axis; none by more than four of these
PORE = 2  # cells along an edge of the square that each pore lies in
RADIUS = 5.5  # Å, of the largest pore


class PorousSheet:
    """Graphene of any size with a pore in each square and atoms displaced at random."""

    def __init__(self, nx, ny, seed=0):
        assert nx % PORE == ny % PORE == 0
        self.n = np.array([5 * nx, 3 * ny])  # rectangles
        self.cell = CELL * [nx, ny]
        self.seed = seed

    def within(self, lower, upper):
        far = 4 * DISPLACED
        first = np.floor((lower - far) / RECTANGLE).astype(int)
        last = np.floor((upper + far) / RECTANGLE).astype(int) + 1
        last = np.minimum(last, first + self.n)
        x, y = (np.arange(a, b) % n for a, b, n in zip(first, last, self.n, strict=True))
        return self.atoms(x, y)

    def atoms(self, x, y):
        """Atoms of the rectangles at the product of `x` and `y`."""
        rectangle = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        index = (rectangle[..., 0] * self.n[1] + rectangle[..., 1]) * 4 + np.arange(4)
        ideal = ((rectangle + BASIS) * RECTANGLE).reshape(-1, 2)
        index = index.ravel()
        square = PORE * CELL
        which = np.floor(ideal / square).astype(np.int64)
        key = which[:, 0] * 1_000_003 + which[:, 1]
        # Squares hold their pore whole.
        chance = np.stack([self.random(key, k) for k in (1, 2, 3)], axis=1)
        centre = which * square + RADIUS + chance[:, :2] * (square - 2 * RADIUS)
        kept = np.linalg.norm(ideal - centre, axis=1) > RADIUS * chance[:, 2]
        index, ideal = index[kept], ideal[kept]
        # Four uniform numbers make nearly a normal one, with an end.
        draws = [self.random(index, 10 + k) for k in range(8)]
        moved = np.stack([sum(draws[:4]), sum(draws[4:])], axis=1) - 2
        positions = (ideal + moved * DISPLACED * np.sqrt(3)) % self.cell
        return index, np.full(len(index), 6), positions

    def random(self, index, stream):
        """Uniform numbers that follow from an index (splitmix64)."""
        z = index.astype(np.uint64) * np.uint64(64) + np.uint64(stream + 1_000_003 * self.seed)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53

    def count(self):
        """Number of atoms, a stripe at a time."""
        y = np.arange(self.n[1])
        return sum(
            len(self.atoms(np.arange(x, min(x + 10, self.n[0])), y)[0])
            for x in range(0, self.n[0], 10)
        )

    def identity(self):
        return f"porous sheet {self.n} {self.seed} {DISPLACED} {PORE} {RADIUS}"


def fitted(train, n_structures):
    """A ridge on local invariants of the tiles of a carbon image."""
    data = load_porous(train) if train else load_sheets(subset="graphene")
    draw = GaussianRasterizer(SPACING, width=0.4, weights={"C": 1.0})
    describe = LocalInvariants(FOCUS, CONTEXT, SPACING, random_state=0)
    regress = EDNNRegressor(
        make_pipeline(describe, Ridge(2e-4)), GridTiling(FOCUS, CONTEXT), baseline="content"
    )
    chosen = np.random.default_rng(0).permutation(len(data.structures))[:n_structures]
    structures = [data.structures[k] for k in chosen]
    return make_pipeline(draw, regress).fit(structures, data.energies[chosen])


def run(path, nx, ny, journal, n_workers):
    """Predict one sheet in this process and print what it took."""
    model = pickle.loads(Path(path).read_bytes())
    sheet = PorousSheet(nx, ny)
    draw, regress = model[0], model[1]
    regress.evaluation_ = DaskBlocks(regress.evaluation_, journal=journal or None)
    source = AtomsSource(draw, sheet)
    start = perf_counter()
    lazy = regress.predict([source])
    scheduler = "threads" if n_workers > 1 else "synchronous"
    energy = float(lazy.compute(scheduler=scheduler, num_workers=n_workers)[0])
    seconds = perf_counter() - start
    print(sheet.count(), np.prod(source.shape), seconds, energy, _measure.peak_megabytes())


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "run":
        path, nx, ny, journal, n_workers = sys.argv[2:]
        run(path, int(nx), int(ny), journal, int(n_workers))
        return
    options = _measure.arguments(__doc__.splitlines()[0], train="", journal="", workers=2)
    _measure.machine()
    sizes = [(4, 4), (12, 12), (40, 40)]
    if not options.quick:
        sizes += [(126, 126), (400, 400), (800, 770)]
    rows = []
    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="synchronous"):
        path = Path(folder) / "model.pkl"
        path.write_bytes(pickle.dumps(fitted(options.train, 300 if options.quick else 5000)))
        for nx, ny in sizes:
            # In a process of its own, for its peak of memory.
            command = [sys.executable, __file__, "run", path, nx, ny, options.journal]
            done = subprocess.run(
                [str(part) for part in [*command, options.workers]],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr)
            n_atoms, pixels, seconds, energy, peak = (float(v) for v in done.stdout.split())
            rows.append([int(n_atoms), int(pixels), seconds, n_atoms / seconds,
                         energy / n_atoms, peak])  # fmt: skip
            _measure.table(["atoms", "pixels", "s", "atoms/s", "eV/atom", "peak/MB"], rows[-1:])
    atoms, times = np.array([[row[0], row[2]] for row in rows[1:]]).T
    print(f"time ~ atoms ** {np.polyfit(np.log(atoms), np.log(times), 1)[0]:.2f}")
    spread = np.ptp([row[4] for row in rows[1:]])
    print(f"energy per atom from {rows[1][0]:,} atoms on: within {1e3 * spread:.2f} meV")
    assert rows[-1][5] < 1.5 * rows[-2][5]


if __name__ == "__main__":
    main()
