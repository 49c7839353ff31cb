"""Drawing atoms takes time linear in their number, far less than direct evaluation of eq. 2.

Run with ``python benchmarks/rasteriser.py``: about a minute. Prints atoms per second at 0.09 Å per
pixel with wells of 0.2 Å, for one large sheet and for many small ones, with one thread and two, and
for oblique and open cells and in three dimensions. ``--lattices`` prints only the latter.
"""

import sys
import warnings
from time import perf_counter, process_time

import numpy as np

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.structures import Structure
from sk_ednn.datasets import load_sheets

SPACING, WIDTH = 0.09, 0.2
DENSITY = 0.38  # atoms per Å² of graphene


def sheet(n_pixels, seed=0):
    """Return random carbon atoms with the density of graphene in a square cell."""
    length = n_pixels * SPACING
    rng = np.random.default_rng(seed)
    n_atoms = round(DENSITY * length**2)
    return Structure(np.full(n_atoms, 6), rng.random((n_atoms, 2)) * length, [length, length])


def best_of(function, repeats=5):
    """Return the least wall time and least processor time of a few runs, and the result."""
    wall, processor = [], []
    for _ in range(repeats):
        start = perf_counter(), process_time()
        result = function()
        wall.append(perf_counter() - start[0])
        processor.append(process_time() - start[1])
    return min(wall), min(processor), result


def direct(structure, n_pixels):
    """Evaluate eq. 2 atom by atom at every pixel, with the nearest image."""
    length, grid = n_pixels * SPACING, np.arange(n_pixels) * SPACING
    field = np.zeros((n_pixels, n_pixels))
    for Z, r in zip(structure.numbers, structure.positions, strict=True):
        dx, dy = (grid - x - length * np.round((grid - x) / length) for x in r)
        field += Z * np.exp(-(dx[:, None] ** 2 + dy**2) / (2 * WIDTH**2))
    return field


def lattice(vectors, n_pixels, n_atoms, periodic=True, seed=0):
    """Return random carbon atoms in a cell with edges of `n_pixels` pixels along `vectors`."""
    vectors = np.asarray(vectors, dtype=float)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors * SPACING * np.array(n_pixels)[:, None]
    cell, scaled = np.eye(3) * 20, np.full((n_atoms, 3), 0.5)
    cell[: len(vectors), : len(vectors)] = vectors
    scaled[:, : len(vectors)] = np.random.default_rng(seed).uniform(
        0.02, 0.98, (n_atoms, len(vectors))
    )
    return Structure(np.full(n_atoms, 6), scaled @ cell, cell, periodic)


def direct_on_lattice(structure, n_pixels):
    """Evaluate eq. 2 atom by atom at every pixel, without images: for atoms far from the edges."""
    d = len(n_pixels)
    mesh = np.stack(np.meshgrid(*(np.arange(n) / n for n in n_pixels), indexing="ij"), axis=-1)
    pixels = mesh @ structure.cell[:d, :d]
    field = np.zeros(n_pixels)
    for Z, r in zip(structure.numbers, structure.positions[:, :d], strict=True):
        field += Z * np.exp(-((pixels - r) ** 2).sum(axis=-1) / (2 * WIDTH**2))
    return field


def lattices():
    skew = [[1, 0], [-0.5, 3**0.5 / 2]]
    tilted = [[1, 0, 0], [0.3, 1, 0], [-0.2, 0.1, 1]]
    open_along_y = (True, False, True)
    cases = {
        "hexagonal sheet": (skew, (1900, 1900), 10_000, True),
        "upright sheet, open along y": (np.eye(2), (1800, 1800), 10_000, open_along_y),
        "box": (np.eye(3), (200, 200, 200), 10_000, True),
        "slanted box": (tilted, (200, 200, 200), 10_000, True),
    }
    for name, (vectors, n_pixels, n_atoms, pbc) in cases.items():
        plane = "xyz" if len(n_pixels) == 3 else "xy"
        times = {}
        for n in (n_atoms // 4, n_atoms):
            structure = lattice(vectors, n_pixels, n, pbc)
            model = GaussianRasterizer(SPACING, WIDTH, plane=plane).fit([structure])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Gaussians truncated by the open edge
                _, times[n], _ = best_of(lambda m=model, s=structure: m.transform([s]), 3)
        added = (n_atoms - n_atoms // 4) / (times[n_atoms] - times[n_atoms // 4])
        # For a few atoms in the middle, as each takes the same time.
        few = Structure(structure.numbers[:5], structure.positions[:5], structure.cell, pbc)
        few.positions[:] = (few.positions - few.positions.mean(axis=0)) / 3
        few.positions[:] += structure.cell.sum(axis=0) / 2
        start = process_time()
        expected = direct_on_lattice(few, n_pixels)
        slow = (process_time() - start) / 5 * n_atoms
        error = np.abs(model.transform([few])[0] - expected).max() / expected.max()
        print(
            f"{name}, {n_atoms:,} atoms on {'x'.join(map(str, n_pixels))} pixels: "
            f"{times[n_atoms]:.3f} processor seconds, {added:,.0f} atoms/s more; {slow:,.0f} s "
            f"directly, {slow / times[n_atoms]:,.0f} times slower; off by {error:.1e} of the "
            "maximum"
        )
        assert error < 1e-6
        assert slow / times[n_atoms] > 300


def main():
    if "--lattices" not in sys.argv:
        sheets_of_atoms()
    lattices()


def sheets_of_atoms():
    sheets = load_sheets()
    for n_jobs in (1, 2):
        model = GaussianRasterizer(SPACING, WIDTH, n_jobs=n_jobs)
        for n_pixels in (512, 1024, 2048, 4096, 8192):
            structure = sheet(n_pixels)
            model.fit([structure])
            wall, processor, _ = best_of(lambda m=model, s=structure: m.transform([s]))
            n = len(structure.numbers)
            print(
                f"{n_jobs} thread(s), one sheet of {n:>7,} atoms on {n_pixels}² pixels: "
                f"{wall:.3f} s, {n / wall:,.0f} atoms/s; {n / processor:,.0f} per processor second"
            )
        model = GaussianRasterizer((12.5 / 128, 13 / 128), WIDTH, n_jobs=n_jobs)
        model.fit(sheets.structures)
        wall, _, fields = best_of(lambda m=model: m.transform(sheets.structures), 3)
        n = sum(map(len, sheets.numbers))
        print(
            f"{n_jobs} thread(s), {len(fields):,} sheets on 128² pixels: {wall:.2f} s, "
            f"{n / wall:,.0f} atoms/s"
        )

    n_pixels = 1800  # 162 Å, about 10,000 atoms
    structure = sheet(n_pixels)
    model = GaussianRasterizer(SPACING, WIDTH).fit([structure])
    fast, _, fields = best_of(lambda: model.transform([structure]))
    # A part of the atoms is enough to time a loop over atoms, and all of it for the comparison
    # would take minutes.
    few = Structure(structure.numbers[:100], structure.positions[:100], structure.cell)
    start = perf_counter()
    expected = direct(few, n_pixels)
    slow = (perf_counter() - start) / 100 * len(structure.numbers)
    error = np.abs(model.transform([few])[0] - expected).max() / expected.max()
    print(
        f"{len(structure.numbers):,} atoms: {slow:.0f} s directly, {fast:.3f} s drawn, "
        f"{slow / fast:,.0f} times faster; off by {error:.1e} of the maximum"
    )
    assert error < 1e-6
    assert slow / fast > 300


if __name__ == "__main__":
    main()
