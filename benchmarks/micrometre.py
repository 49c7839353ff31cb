"""A square micrometre of porous graphene, 35.2 million atoms, is drawn block by block and summed.

Run with ``python benchmarks/micrometre.py --workers 2 --journal FOLDER``; ``--quick`` takes a
minute, ``--fraction 0.1`` a tenth of the sheet. First come sheets from a thousand atoms to 1 % and
10 % of a square micrometre, with a projection of the whole from each, then the whole. The network
is `ValidCNN` on tiles of 128 pixels (focus 64, context 32) at 0.0911 Å per pixel, trained first on
small sheets. Energies are sums of bonds, so that the energy of every sheet is known. ``--kind
ridge`` uses a ridge on local invariants instead, on coarser pixels. The sheet is a formula
(`_sheet.py`): neither its atoms nor its image ever exist as a whole.

With ``--journal`` a stopped run resumes, and its time is that of all attempts. ``--scheduler
cluster`` uses worker processes instead of threads; with ``--report FILE.html`` they write a
performance report. Each row is added to ``--results`` when it is measured, and not measured again;
``docs/_static/make_scaling_figures.py`` draws that file.
"""

import _measure
from _sheet import CELL, PorousSheet, small_sheets

from contextlib import nullcontext
import json
import os
import signal
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from time import perf_counter, sleep

import dask
import joblib
import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsSource, GaussianRasterizer, LocalInvariants
from sk_ednn.datasets import load_porous
from sk_ednn.evaluation import DaskBlocks, Direct, Network
from sk_ednn.networks import PaperCNN, ValidCNN, as_convolution
from sk_ednn.networks._layout import laid_out, lay_out
from sk_ednn.solvers import GradientSolver

FOCUS, CONTEXT = 64, 32
SPACING = CELL / 384  # 0.0911 Å: six foci along a cell
WELL = 0.2  # Å
WHOLE = 286  # cells along an edge of 1.001 µm
SIZES = {"quick": (2, 4), "full": (2, 5, 9, 29, 90, WHOLE)}  # 29 and 90: 1 % and 10 %
SPEEDUP = 29  # cells of the sheet that is evaluated with one worker and with several


def network(epochs):
    """Return the rasteriser and the convolutional network."""
    fit = GradientSolver(max_epochs=epochs, batch_size=4, lr=1e-3, max_norm=1.0)
    return GaussianRasterizer(SPACING, width=WELL), EDNNRegressor(
        ValidCNN, GridTiling(FOCUS, CONTEXT), solver=fit, baseline="content", random_state=0
    )


def ridge(epochs):
    """Return the rasteriser and the ridge of `porous.py`, which sees 3.9 Å around its tiles."""
    spacing, tiling = CELL / 80, GridTiling(16, 9)
    describe = LocalInvariants(16, 9, spacing, scale=0.6, random_state=0)
    return GaussianRasterizer(spacing, width=0.4, weights={"C": 1.0}), EDNNRegressor(
        make_pipeline(describe, Ridge(1e-6)), tiling, baseline="content"
    )


KINDS = {"network": network, "ridge": ridge}


def trained(path, kind, train, epochs, n_sheets):
    """Fit a pipeline and write it to a file, unless the file exists."""
    if path.exists():
        return
    if train:
        data = load_porous(train)
        chosen = np.random.default_rng(0).permutation(len(data.structures))[:n_sheets]
        structures = [data.structures[k] for k in chosen]
        energies = data.energies[chosen]
    else:
        structures, energies = small_sheets(n_sheets)
    held, start = n_sheets // 10, perf_counter()
    model = make_pipeline(*KINDS[kind](epochs)).fit(structures[held:], energies[held:])
    seconds = perf_counter() - start
    n_atoms = [len(structure["numbers"]) for structure in structures[:held]]
    off = 1e3 * (model.predict(structures[:held]) - energies[:held]) / n_atoms
    print(
        f"trained on {n_sheets - held} sheets in {seconds:.0f} s; on {held} others "
        f"mean error {np.abs(off).mean():.1f} meV/atom, bias {off.mean():.1f}"
    )
    joblib.dump(model, path)


def work():
    """Print multiply-adds per tile; return the seconds per tile of the paper's padded network."""
    window = (FOCUS + 2 * CONTEXT,) * 2
    dense = as_convolution(
        ValidCNN(window, (FOCUS,) * 2).eval(), GridTiling(FOCUS, CONTEXT), window
    )
    padded, counted = PaperCNN(window).eval(), []
    for layer in padded:
        if hasattr(layer, "weight"):
            layer.register_forward_hook(
                lambda m, _, out: counted.append(m.weight.numel() * out[0, 0].numel())
            )
    lay_out(padded, (1, *window))
    tiles = laid_out(torch.rand(32, 1, *window))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        padded(tiles)
        n_padded = sum(counted)
        seconds = _measure.seconds(lambda: padded(tiles), repeat=2, warm_up=0) / len(tiles)
    torch.set_num_threads(threads)
    print(
        f"multiply-adds a tile: {dense.dense_work / 1e6:.1f} million (tile by tile "
        f"{dense.tiled_work / 1e6:.1f}); the paper's padded network {n_padded / 1e6:.1f}"
    )
    return seconds


def evaluate(job):
    """Predict one sheet in this process, and print time and memory."""
    torch.set_num_threads(1)
    draw, regress = (step for _, step in joblib.load(job["model"]).steps)
    sheet = PorousSheet(job["cells"], job["cells"])
    source = AtomsSource(draw, sheet)
    dense = hasattr(regress.tile_model_, "dense_form")
    inside = (Network if dense else Direct)(max_bytes=job["block_bytes"])
    regress.evaluation_ = DaskBlocks(inside, journal=job["journal"], verbose=1)

    def total(**options):
        start, cpu = perf_counter(), _measure.processor_seconds()
        energy = float(regress.predict([source]).compute(**options)[0])
        cpu = _measure.processor_seconds() - cpu
        return {"seconds": perf_counter() - start, "cpu": cpu, "energy": energy}

    if job["scheduler"] == "threads":
        with dask.config.set(num_workers=job["workers"]):
            row = total(scheduler="threads" if job["workers"] > 1 else "synchronous")
    else:
        from distributed import Client, LocalCluster, performance_report

        report = performance_report(job["report"]) if job["report"] else nullcontext()
        # By default workers return freed memory at once, and networks request it again at once.
        for name, size in (("TRIM", 2**28), ("MMAP", 2**25)):
            dask.config.set({f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": size})
        local = {"dashboard_address": None, "host": "127.0.0.1", "memory_limit": 0}
        cluster = LocalCluster(n_workers=job["workers"], threads_per_worker=1, **local)
        with cluster, Client(cluster), report:
            row = total()
    print(json.dumps({**row, "pixels": int(np.prod(source.shape))}))


def measured(job, folder):
    """Evaluate in a separate process, and sample the memory of it and its children."""
    spent = None
    before = 0.0
    if folder:
        job["journal"] = str(folder / f"cells-{job['cells']}-{job['workers']}-{job['scheduler']}")
        Path(job["journal"]).mkdir(parents=True, exist_ok=True)
        spent = Path(job["journal"]) / "seconds"
        before = float(spent.read_text()) if spent.exists() else 0.0
    command = [sys.executable, __file__, "evaluate", json.dumps(job)]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    start, peak = perf_counter(), 0.0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}
    )
    try:
        while process.poll() is None:
            peak = max(peak, _measure.shared_megabytes(process.pid))
            if spent is not None:
                _replace(spent, str(before + perf_counter() - start))
            sleep(0.1)  # often, as the peaks of the workers coincide only for moments
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise SystemExit(f"The sheet of {job['cells']} cells failed.")
    row = json.loads(process.stdout.read().splitlines()[-1])
    return {**row, "seconds": before + row["seconds"], "resumed": before > 0, "pss": peak}


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "evaluate":
        evaluate(json.loads(sys.argv[2]))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends its children, too
    options = _measure.arguments(
        __doc__.splitlines()[0], workers=2, scheduler="threads", fraction=1.0, journal="",
        results="", model="", kind="network", train="", epochs=6, block_bytes=2**25, report="",
    )  # fmt: skip
    _measure.machine()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(options.model) if options.model else Path(folder) / "model.pkl"
        trained(
            model,
            options.kind,
            options.train,
            *((1, 40) if options.quick else (options.epochs, 400)),
        )
        measure(options, model)


def measure(options, model):
    results = Path(options.results) if options.results else None
    rows = json.loads(results.read_text()) if results and results.exists() else []
    padded = work() if options.kind == "network" else None
    sizes = SIZES["quick" if options.quick else "full"]
    jobs = [(n, options.workers) for n in sizes if (n / WHOLE) ** 2 <= 1.04 * options.fraction]
    if SPEEDUP in sizes:
        at = next((k for k, (n, _) in enumerate(jobs) if n > SPEEDUP), len(jobs))
        jobs[at:at] = [(SPEEDUP, w) for w in range(1, options.workers)]
    for cells, workers in jobs:
        key = {"cells": cells, "workers": workers, "scheduler": options.scheduler}
        row = next((row for row in rows if key.items() <= row.items()), None)
        if row is None:
            job = {**key, "model": str(model), "block_bytes": options.block_bytes}
            job |= {"journal": None, "report": options.report}
            row = {**key, **measured(job, Path(options.journal) if options.journal else None)}
            row["atoms"], row["true_energy"] = PorousSheet(cells, cells).true_energy()
            rows.append(row)
            if results:
                _replace(results, json.dumps(rows, indent=1))
        show(row)
        if workers == options.workers and row["atoms"] > 1e5 and cells < WHOLE:
            project(row, padded)
    check([row for row in rows if row["workers"] == options.workers])


def show(row):
    atoms = row["atoms"]
    off = 1e3 * (row["energy"] - row["true_energy"]) / atoms
    headers = [
        "cells",
        "workers",
        "atoms",
        "pixels",
        "s",
        "atoms/s",
        "eV/atom",
        "off/meV",
        "PSS/MB",
    ]
    values = [row["cells"], row["workers"], atoms, row["pixels"], row["seconds"]]
    values += [atoms / row["seconds"], row["energy"] / atoms, off, row["pss"]]
    _measure.table(headers, [values])


def project(row, padded):
    """Print the projected time of the whole sheet, also with the paper's padded network."""
    times = (WHOLE / row["cells"]) ** 2
    print(
        f"  -> the square micrometre: {row['seconds'] * times / 60:.1f} min, "
        f"{row['cpu'] * times / 60:.1f} min of one core"
    )
    if padded is None:
        return
    n_tiles = row["pixels"] * times / FOCUS**2
    minutes = padded * n_tiles / row["workers"] / 60
    print(
        f"     its {n_tiles / 1e6:.2f} million tiles through the paper's padded network: "
        f"{minutes:.0f} min"
    )


def check(rows):
    """Print the claims: linear time, constant memory and constant energy per atom."""
    rows = sorted((row for row in rows if row["atoms"] > 3e5), key=lambda row: row["atoms"])
    if len(rows) < 2:
        return
    atoms, times = (np.array([row[name] for row in rows]) for name in ("atoms", "seconds"))
    print(f"time ~ atoms ** {np.polyfit(np.log(atoms), np.log(times), 1)[0]:.2f}")
    off = [1e3 * (row["energy"] - row["true_energy"]) / row["atoms"] for row in rows]
    print(f"error per atom from {atoms[0]:,} atoms on: within {np.ptp(off):.2f} meV")
    for small, large in pairwise(rows):
        print(f"memory, {large['atoms'] / small['atoms']:.1f} times the area: "
              f"{large['pss'] / small['pss']:.2f} times")  # fmt: skip
    assert rows[-1]["pss"] < 2000


def _replace(path, text):
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)


if __name__ == "__main__":
    main()
