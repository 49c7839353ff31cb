"""Train the Deep Potential, smooth edition, by DeePMD-kit's own command; see peers.py."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from _common import arguments, measure, processor_seconds
from ase.io import read

folder, work = sys.argv[1:]
args = arguments(work)
atoms = read(f"{folder}/train.extxyz", ":")
symbols = sorted({symbol for each in atoms for symbol in each.get_chemical_symbols()})
# One folder for each composition, in one order of atoms.
systems = {}
for each in atoms:
    names = np.array(each.get_chemical_symbols())
    order = np.argsort(names, kind="stable")
    systems.setdefault(tuple(names[order]), []).append((each, order))
folders = []
for number, (names, members) in enumerate(systems.items()):
    path = Path(work) / f"system{number}" / "set.000"
    path.mkdir(parents=True)
    folders.append(str(path.parent))
    types = [symbols.index(name) for name in names]
    np.savetxt(path.parent / "type.raw", types, fmt="%d")
    (path.parent / "type_map.raw").write_text("\n".join(symbols), encoding="utf-8")
    np.save(path / "box.npy", [each.cell[:].ravel() for each, _ in members])
    np.save(path / "coord.npy", [each.positions[order].ravel() for each, order in members])
    np.save(path / "energy.npy", [each.get_potential_energy() for each, _ in members])
    np.save(path / "force.npy", [each.get_forces()[order].ravel() for each, order in members])
steps = args["deepmd_steps"]
config = {
    "model": {
        "type_map": symbols,
        "descriptor": {
            "type": "se_e2_a", "sel": "auto", "rcut": args["cutoff"], "rcut_smth": 0.5,
            "neuron": [10, 20, 40], "axis_neuron": 8, "seed": 1,
        },
        "fitting_net": {"neuron": [64, 64, 64], "resnet_dt": True, "seed": 1},
    },
    "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-6, "decay_steps": steps // 50},
    "loss": {
        "type": "ener", "start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000,
        "limit_pref_f": 1, "start_pref_v": 0, "limit_pref_v": 0,
    },
    "training": {
        "training_data": {"systems": folders, "batch_size": 4}, "numb_steps": steps, "seed": 1,
        "disp_file": "lcurve.out", "disp_freq": max(steps // 10, 1), "save_freq": steps,
    },
}  # fmt: skip
(Path(work) / "input.json").write_text(json.dumps(config), encoding="utf-8")
dp, start = str(Path(sys.executable).parent / "dp"), processor_seconds()
for command in ([dp, "--pt", "train", "input.json"], [dp, "--pt", "freeze", "-o", "frozen.pth"]):
    done = subprocess.run(command, capture_output=True, text=True, cwd=work, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
seconds = processor_seconds() - start

from deepmd.calculator import DP  # noqa: E402

measure(DP(f"{work}/frozen.pth"), folder, work, seconds, steps=steps)
