"""Train ours, MACE and DeePMD-kit on the same structures, and compare errors and times.

    python benchmarks/compare/peers.py --data FOLDER --set si --venvs peers --install
    python benchmarks/compare/peers.py --data FOLDER --set sheets --codes ours,mace --train 400

Each code runs in a separate virtual environment below ``--venvs``, one after the other, on one
thread. ``--install`` creates those that are missing by pip. Sets: ``si`` (mlearn/Si.npz),
``sheets`` (hex_xtb_dev.npz) and ``siau`` (siau_meam_dev.npz; whole parents held out), below
``--data``. Ours trains for ``--seconds`` of processor time, MACE for ``--mace-epochs``, DeePMD-kit
for ``--deepmd-steps``; the table contains the time of each.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PACKAGES = {
    "mace": ["torch==2.13.0", "mace-torch==0.3.16"],
    # The version of torch that its wheel was built with; its extra "torch" leads pip to old ones.
    "deepmd": ["torch==2.11.0", "deepmd-kit==3.2.0", "mpich", "e3nn", "ase"],
}
FILES = {"si": "mlearn/Si.npz", "sheets": "hex_xtb_dev.npz", "siau": "siau_meam_dev.npz"}


def structures(path, chosen):
    """Return some structures of a file as `ase.Atoms` with energies and forces."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    d, out = np.load(path), []
    for k in chosen:
        rows = slice(*d["offsets"][k : k + 2])
        positions, forces = d["positions"][rows], d["forces"][rows]
        cell, pbc = d["cell"][k], True
        if positions.shape[1] == 2:  # planar; the layer is far from its images
            positions, forces = (np.pad(each, ((0, 0), (0, 1))) for each in (positions, forces))
            cell, pbc = [*np.ravel(cell)[:2], 20.0], [True, True, False]
        atoms = Atoms(d["numbers"][rows].astype(int), positions, cell=cell, pbc=pbc)
        atoms.calc = SinglePointCalculator(atoms, energy=float(d["energy"][k]), forces=forces)
        out.append(atoms)
    return out


def write(args, folder):
    """Write the structures to learn from, those held out, and two to time."""
    from ase.io import write as write_structures

    path = Path(args.data) / FILES[args.set]
    data, rng = np.load(path), np.random.default_rng(7)
    order = rng.permutation(len(data["energy"]))
    if "parent" in data:  # structures of one parent are alike: no parent is in both
        parents = np.unique(data["parent"])
        is_test = np.isin(data["parent"], rng.permutation(parents)[: len(parents) // 4])[order]
    else:
        is_test = np.arange(len(order)) < args.test
    train, test = order[~is_test][: args.train], order[is_test][: args.test]
    held = structures(path, np.sort(test))
    write_structures(folder / "train.extxyz", structures(path, np.sort(train)))
    write_structures(folder / "test.extxyz", held)
    one = held[0].copy()
    for name, n_atoms in (("small", 60), ("large", 1500)):
        times = [1, 1, 1]
        while len(one) * np.prod(times) < 0.9 * n_atoms:
            lengths = np.where(one.pbc, np.linalg.norm(one.cell[:], axis=1) * times, np.inf)
            times[int(np.argmin(lengths))] += 1
        write_structures(folder / f"{name}.extxyz", one.repeat(times))
    return len(train), len(test)


def python_of(code, args):
    """Return the Python of a code's virtual environment, made if requested."""
    if code == "ours":
        return sys.executable
    path = Path(args.venvs) / code
    python = path / "bin" / "python"
    if not python.exists():
        if not args.install:
            return None
        subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[code]], check=True)
    return str(python)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("data", "data"), ("set", "si"), ("venvs", "peers"), ("codes", "ours,mace,deepmd"),
        ("train", 400), ("test", 40), ("seconds", 200.0), ("mace_epochs", 20),
        ("deepmd_steps", 5000), ("cutoff", 5.0), ("context", 0),
    ):  # fmt: skip
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--install", action="store_true", help="create missing environments")
    args = parser.parse_args()
    if not (Path(args.data) / FILES[args.set]).exists():
        print(f"There is no {FILES[args.set]} in {args.data}: give the folder with --data.")
        return
    print("code, train s, meV/atom, median, meV/Å, s of energies and forces: small, large")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_train, n_test = write(args, folder)
        print(f"{args.set}: {n_train} structures, {n_test} held out")
        for code in args.codes.split(","):
            python = python_of(code, args)
            if python is None:
                print(f"{code}: no environment in {args.venvs}; --install makes one")
                continue
            work = folder / code
            work.mkdir()
            (work / "args.json").write_text(json.dumps(vars(args)), encoding="utf-8")
            command = [python, str(HERE / f"_{code}.py"), str(folder), str(work)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{code}: failed\n{done.stderr[-2000:]}", flush=True)
                continue
            found = json.loads((work / "result.json").read_text(encoding="utf-8"))
            print(f"{code}: {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main()
