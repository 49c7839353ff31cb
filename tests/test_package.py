"""The release is complete, and works without optional libraries."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command, cwd, **environment):
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**kept, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The files of a release, made of what git contains; the wheel is made of the sdist."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("release")
    source = folder / "source"
    try:
        tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]
    except (AssertionError, FileNotFoundError):
        pytest.skip("a release is made of a clone")
    for name in filter(lambda name: (ROOT / name).is_file(), tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory):
    """An environment with the wheel, what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    run(binaries / "python", "-m", "pip", "install", "-qq", "-c", CONSTRAINTS, built[1], cwd=folder)
    return binaries


def test_the_wheel_contains_only_the_package(built):
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sk_ednn").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = {name.partition("/")[2] for name in wheel.namelist() if ".dist-info/" in name}
    assert held == tracked
    assert "sk_ednn/py.typed" in held
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= metadata


def test_the_sdist_contains_what_packagers_need(built):
    with tarfile.open(built[0]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGES.md", "CITATION.cff"} <= held
    assert {"conftest.py", "tests/conftest.py", "tests/_cases.py", "docs/conf.py"} <= held
    assert {"requirements/constraints.txt", "benchmarks/_measure.py"} <= held
    assert not [name for name in held if name.startswith((".ci", "docs/_build", "build"))]


def test_the_package_works_without_optional_libraries(clean, tmp_path):
    code = """if True:
        import sys
        import numpy as np
        from sklearn.linear_model import Ridge
        import sk_ednn
        from sk_ednn import EDNNRegressor, GridTiling
        from sk_ednn.datasets import load_porous, load_sheets, make_ising
        X, y = make_ising(300, (8, 8), random_state=0, return_X_y=True)
        model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(X, y)
        large = make_ising(1, (32, 32), n_sweeps=50, random_state=1)
        off = model.predict(large.fields) - large.energies
        assert abs(off).max() < 1e-3 * abs(large.energies), off
        assert len(load_sheets().energies) > 4000 and len(load_porous().energies) > 300
        optional = {"torch", "skorch", "dask", "ase", "matplotlib", "typer", "skops", "h5py"}
        assert not optional & set(sys.modules), optional & set(sys.modules)
        print(sk_ednn.__version__)"""
    assert re.fullmatch(r"\d+\.\d+.*\n", run(clean / "python", "-c", code, cwd=tmp_path))


# What a user would write, and the extra it needs.
NEEDS = {
    "from sk_ednn.networks import ValidCNN; ValidCNN": "torch",
    "from sk_ednn.solvers import GradientSolver; GradientSolver()": "torch",
    "from sk_ednn.pretrained import load_sheets_model; load_sheets_model()": "torch",
    "from sk_ednn.files import export_onnx; export_onnx(model, 'net.onnx')": "onnx",
    # A forest: linear models and kernels are written without skops.
    "from sklearn.ensemble import ExtraTreesRegressor as Forest; from sk_ednn.files import save; "
    "save(EDNNRegressor(Forest(2)).fit(X, y), 'model.ednn')": "files",
    "from sk_ednn.evaluation import DaskBlocks; DaskBlocks()": "dask",
    "import numpy as np; from sk_ednn.fields import ArraySource; "
    "model.predict([ArraySource(np.ones((8, 8)))])": "dask",
    "from sk_ednn.datasets import load_sheets; load_sheets(as_ase=True)": "atoms",
    "from sk_ednn.atoms import EDNNCalculator; EDNNCalculator(model)": "atoms",
    "from sk_ednn.atoms import GaussianRasterizer as Draw; Draw(0.2, 0.2).fit('a.xyz')": "atoms",
    "import numpy as np; from sk_ednn.images import CountRegressor; "
    "CountRegressor().fit(np.arange(512.0).reshape(2, 16, 16), [1, 2])": "images",
    "open('a.png', 'w').write('P'); from sk_ednn.images import read_pictures; "
    "read_pictures('a.png')": "images",
    "from sk_ednn.inspection import TilingDisplay; TilingDisplay.from_tiling(model.tiling_, X)":
        "plot",
}  # fmt: skip


@pytest.mark.parametrize(("statement", "extra"), NEEDS.items())
def test_the_error_of_a_missing_library_names_the_extra(clean, tmp_path, statement, extra):
    code = f"""if True:
        from sk_ednn import EDNNRegressor
        from sk_ednn.datasets import make_ising
        X, y = make_ising(20, (8, 8), random_state=0, return_X_y=True)
        model = EDNNRegressor().fit(X, y)
        try:
            {statement}
        except ImportError as error:
            print(error)
        else:
            print("nothing is missing")"""
    said = run(clean / "python", "-c", code, cwd=tmp_path)
    assert f"pip install 'sk-ednn[{extra}]'" in said
    assert said.count("\n") == 1


def test_the_command_names_the_extra_to_install(clean, tmp_path):
    done = subprocess.run(
        [clean / "sk-ednn", "info"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "sk-ednn: typer is not installed: pip install 'sk-ednn[cli]'"
