"""A map of a square micrometre of porous graphene, from the whole to a nanometre.

    python benchmarks/micrometre_map.py --folder FOLDER --figure map.png

The sheet is that of `micrometre.py`, a formula for 35.2 million atoms of which neither the atoms
nor the image ever exist as a whole. A ridge on local invariants, trained on small sheets with
tiles of 1.17 nm, maps the whole as 858 by 858 contributions, six megabytes. The closest views come
from a ridge with tiles of 0.9 Å: `predict_contributions` of a lazy source is lazy, so that only
the tiles of a window are computed.

Bands of the map that ``--folder`` contains are not computed again, so that a stopped run resumes.
``--cells 90`` maps a tenth of the sheet, ``--quick`` a thousandth.
"""

import _measure
from _sheet import CELL, PorousSheet, small_sheets

import os
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import dask
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsSource, GaussianRasterizer, LocalInvariants

WHOLE = 286  # cells along an edge of 1.001 µm
# Pixels along a cell; focus and context in pixels (4 Å around a tile); principal components.
COARSE = {"pixels": 60, "focus": 20, "context": 7, "n_components": 16}
FINE = {"pixels": 80, "focus": 2, "context": 9, "n_components": 64}
# Corner within the view before, and edge, in cells: 105, 10.5 and 1.05 nm.
VIEWS = ((70, 110), 30), ((14, 16), 3), ((1.25, 1.2), 0.3)


def fitted(structures, energies, *, pixels, focus, context, n_components):
    """Return the rasteriser and the ridge, fitted to totals of small sheets."""
    describe = LocalInvariants(
        focus, context, CELL / pixels, scale=0.6, n_components=n_components, random_state=0
    )
    draw = GaussianRasterizer(CELL / pixels, width=0.4, weights={"C": 1.0})
    regress = EDNNRegressor(
        make_pipeline(describe, Ridge(1e-6)), GridTiling(focus, context), baseline="content"
    )
    return make_pipeline(draw, regress).fit(structures, energies)


def lazy_map(model, sheet):
    """Return the contributions of all tiles of a sheet, as a dask array that computes nothing."""
    draw, regress = (step for _, step in model.steps)
    return regress.predict_contributions([AtomsSource(draw, sheet)])[0]


def kept_map(lazy, folder, name):
    """Compute a map band by band; bands in the folder are read instead."""
    bands, stop, start = [], 0, perf_counter()
    for rows in lazy.chunks[0]:
        file = folder / f"{name}-{stop}.npy"
        if not file.exists():
            part = file.with_suffix(".part")
            with part.open("wb") as stream:
                np.save(stream, lazy[stop : stop + rows].compute())
            os.replace(part, file)
        bands.append(np.load(file))
        stop += rows
        print(f"  {stop} of {len(lazy)} rows, {perf_counter() - start:.0f} s", flush=True)
    return np.concatenate(bands)


def main():
    options = _measure.arguments(
        __doc__.splitlines()[0], cells=WHOLE, workers=1, folder="", figure="", exact=False
    )
    _measure.machine()
    cells = 9 if options.quick else options.cells
    structures, energies = small_sheets(100 if options.quick else 400)
    n_held = len(energies) // 10
    coarse = fitted(structures[n_held:], energies[n_held:], **COARSE)
    n_atoms = [len(structure["numbers"]) for structure in structures[:n_held]]
    off = 1e3 * (coarse.predict(structures[:n_held]) - energies[:n_held]) / n_atoms
    print(f"single cells: mean error {np.abs(off).mean():.2f}, bias {off.mean():.2f} meV/atom")
    sheet = PorousSheet(cells, cells)
    with tempfile.TemporaryDirectory() as temporary, dask.config.set(num_workers=options.workers):
        folder = Path(options.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cpu, start = process_time(), perf_counter()
        whole = kept_map(lazy_map(coarse, sheet), folder, f"cells-{cells}")
        print(f"{whole.shape} contributions in {perf_counter() - start:.0f} s, "
              f"{process_time() - cpu:.0f} s of processor time")  # fmt: skip
        print(f"peak memory {_measure.peak_megabytes():.0f} MB; energy {whole.sum():.6g} eV")
        if options.exact:
            count, exact = sheet.true_energy()
            print(f"{count:,} atoms: error {1e3 * (whole.sum() - exact) / count:+.3f} meV/atom")
        if options.figure:
            views = closer(whole, sheet, structures[-60:], energies[-60:])
            draw(views, sheet).savefig(options.figure, dpi=100)


def closer(whole, sheet, structures, energies):
    """Return the views: contributions, corner in Å and edge in Å."""
    views = [(whole, np.zeros(2), sheet.cell[0])]
    corner, n_before = np.zeros(2), round(sheet.cell[0] / CELL)
    lazy = lazy_map(fitted(structures, energies, **FINE), sheet)
    for at, n_cells in VIEWS:
        # A smaller sheet has no room for the first corner.
        corner = corner + CELL * (np.array(at) % max(1, n_before - n_cells))
        edge, n_before = CELL * n_cells, n_cells
        larger = whole[box(corner, edge, COARSE)]
        if n_cells > 10:
            views.append((larger, corner, edge))
            continue
        start = perf_counter()
        part = lazy[box(corner, edge, FINE)].compute()
        views.append((part, corner, edge))
        print(f"{edge / 10:.3g} nm: {part.shape} of {lazy.shape} contributions in "
              f"{perf_counter() - start:.1f} s")  # fmt: skip
        if n_cells >= 1:
            print(f"  sum {part.sum():.2f} eV, and {larger.sum():.2f} eV of the larger tiles")
    return views


def box(corner, edge, tiles):
    """Return the slices of the tiles of a square."""
    step = CELL * tiles["focus"] / tiles["pixels"]
    return tuple(slice(round(c / step), round((c + edge) / step)) for c in corner)


def draw(views, sheet):
    """Draw the views side by side, each with the outline of the next."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axes = plt.subplots(1, 4, figsize=(12.6, 3.7), layout="constrained")
    for k, (ax, (values, corner, edge)) in enumerate(zip(axes, views, strict=True)):
        width = edge / 10  # nm
        values = values / (width / len(values)) ** 2
        pool = next(p for p in range(1, len(values) + 1)
                    if len(values) % p == 0 and len(values) // p <= 150)  # fmt: skip
        n = len(values) // pool
        values = values.reshape(n, pool, n, pool).mean(axis=(1, 3))
        ends = 0, width, 0, width
        image = ax.imshow(
            values.T, origin="lower", cmap="cividis", interpolation="nearest", extent=ends
        )
        title = f"{width / 1e3:.3g} µm" if width > 1000 else f"{width:.3g} nm"
        ax.set(xticks=[], yticks=[], title=title, xlim=ends[:2], ylim=ends[2:])
        figure.colorbar(image, ax=ax, shrink=0.7, location="bottom", label="eV nm⁻²")
        if k + 1 < len(views):
            _, inner, side = views[k + 1]
            for colour, line in (("white", 2.6), ("#d55e00", 1.4)):
                outline = Rectangle((inner - corner) / 10, side / 10, side / 10, fill=False)
                ax.add_patch(outline)
                outline.set(edgecolor=colour, linewidth=line)
        else:
            _, _, positions = sheet.within(corner, corner + edge)
            ax.plot(*((positions - corner) / 10).T, "o", mfc="white", mec="#22303c", ms=5)
    return figure


if __name__ == "__main__":
    main()
