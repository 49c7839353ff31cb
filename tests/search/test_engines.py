"""A search with a real engine of electronic structure, where one is installed."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ase_ga")
pytest.importorskip("vesin")
from ase.build import bulk

from sk_ednn.search import (
    CommandLabeller,
    GuardedLabeller,
    LinearCommittee,
    SearchStore,
    StructureSearch,
)

SCRIPT = Path(__file__).with_name("_gpaw_label.py")


PSEUDOPOTENTIAL = Path("/usr/share/doc/quantum-espresso/examples/EPW/sic/pp/Si.pz-vbc.UPF.gz")

ESPRESSO = """
&control
 calculation='scf', pseudo_dir='FOLDER', outdir='out', disk_io='none',
 tprnfor=.true., tstress=.true.
/
&system
 ibrav=0, nat=$n_atoms, ntyp=1, ecutwfc=15, occupations='smearing', smearing='gauss', degauss=0.01,
 nosym=.true.
/
&electrons
 conv_thr=1d-6
/
ATOMIC_SPECIES
Si 28.085 Si.pz-vbc.UPF
K_POINTS automatic
3 3 3 1 1 1
CELL_PARAMETERS angstrom
$cell
ATOMIC_POSITIONS angstrom
$positions
"""


def python_with_gpaw():
    """The interpreter of GPAW's program, which may not be that of the tests."""
    program = shutil.which("gpaw")
    if program is None:
        return None
    first = Path(program).read_text(encoding="utf-8", errors="replace").splitlines()[0]
    return first.removeprefix("#!").strip() if first.startswith("#!") else sys.executable


def gpaw_labeller(python):
    # Paths of the tests' libraries are not for the other interpreter.
    return CommandLabeller(
        f"env -u PYTHONPATH OMP_NUM_THREADS=1 {python} {SCRIPT} in.extxyz out.extxyz",
        "in.extxyz", "out.extxyz",
    )  # fmt: skip


@pytest.mark.slow
def test_gpaw_finds_a_structure_below_all_random_ones(tmp_path):
    python = python_with_gpaw()
    if python is None:
        pytest.skip("GPAW is not installed")
    if subprocess.run(
        [python, "-c", "import gpaw"], env={**os.environ, "PYTHONPATH": ""}, check=False
    ).returncode:
        pytest.skip("GPAW cannot be imported")
    found_below_random_starts(gpaw_labeller(python), tmp_path / "si2.db")


@pytest.mark.slow
def test_espresso_finds_a_structure_below_all_random_ones(tmp_path):
    if shutil.which("pw.x") is None or not PSEUDOPOTENTIAL.exists():
        pytest.skip("Quantum ESPRESSO or its pseudopotential of silicon is not installed")
    content = gzip.decompress(PSEUDOPOTENTIAL.read_bytes())
    (tmp_path / "Si.pz-vbc.UPF").write_bytes(content)
    labeller = CommandLabeller(
        "OMP_NUM_THREADS=1 pw.x < in.pwi > out.pwo", "in.pwi", "out.pwo",
        template=ESPRESSO.replace("FOLDER", str(tmp_path)), output_format="espresso-out",
        converged="convergence has been achieved[^$]*JOB DONE",
    )  # fmt: skip
    found_below_random_starts(labeller, tmp_path / "si2.db")


def found_below_random_starts(labeller, path):
    diamond = labeller.label(bulk("Si", a=5.40), 120.0)
    assert np.abs(diamond.forces).max() < 0.1  # by symmetry none
    search = StructureSearch(
        "Si2", GuardedLabeller(labeller, time_limit=120.0), LinearCommittee(4.5, 5, 3),
        store=path, volume=20.0, n_initial=12, retrain_every=4,
        candidates_per_label=2, random_state=0,
    )  # fmt: skip
    result = search.run(28, target=diamond.energy / 2 + 0.02)
    with SearchStore(path) as store:
        starts = [row for row in store.structures("labelled") if row["origin"] == "start"]
        failed = store.structures("failed")
    print(result.reason, result.n_labels, result.energy, diamond.energy / 2, len(failed))
    assert result.energy < min(row["label"].energy / 2 for row in starts)
    assert all(row["why"] for row in failed)
