"""Potentials in files: the same numbers to the last bit, and nothing that does not fit."""

import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential, PotentialTrainer, SpectrumNetwork
from sk_ednn.descriptors import PowerSpectrum, SymmetryFunctions
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, describe, load, save
from sk_ednn.tiling import AtomTiling
from tests._labelled import labelled_atoms
from tests._potentials import CUTOFF

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}
SPECTRUM = AtomTiling(PowerSpectrum(cutoff=CUTOFF, n_radial=3, max_l=2))
TRAINER = PotentialTrainer(max_epochs=1, max_seconds=None, random_state=0)
POTENTIALS = {
    "spectrum": EDNNPotential(cutoff=CUTOFF, network_params=SMALL, trainer=TRAINER, context=2),
    "screened": EDNNPotential(
        cutoff=CUTOFF, network_params=SMALL | {"screening": True}, trainer=TRAINER
    ),
    "double": EDNNPotential(
        cutoff=CUTOFF, network_params=SMALL,
        trainer=PotentialTrainer(max_epochs=1, max_seconds=None, random_state=0, dtype="float64"),
    ),
    "deep-pot": EDNNPotential("deep-pot", cutoff=CUTOFF, trainer=TRAINER),
    "descriptor": EDNNPotential(SymmetryFunctions(CUTOFF), trainer=TRAINER),
    "linear": EDNNPotential(EDNNRegressor(Ridge(), SPECTRUM)),
    "kernel": EDNNPotential(
        EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1), SPECTRUM),
        atomic_energies={14: -4.0, 79: -3.0},
    ),
}  # fmt: skip
ATOMS = labelled_atoms(6)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("potentials"), {}

    def file(name):
        if name not in made:
            off = {"forces": False, "stress": False} if name in ("linear", "kernel") else {}
            made[name] = POTENTIALS[name].fit(ATOMS, **off)
            save(made[name], folder / f"{name}.ednn", unit="eV")
        return folder / f"{name}.ednn", made[name]

    return file


@pytest.mark.parametrize("name", POTENTIALS)
def test_what_is_read_predicts_the_same_bits(name, files, tmp_path):
    path, potential = files(name)
    state = torch.random.get_rng_state()
    again = load(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other in zip(
        potential.predict_all(ATOMS, per_atom=True), again.predict_all(ATOMS, per_atom=True),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(*map(np.concatenate, (potential.novelty(ATOMS),
                                                        again.novelty(ATOMS))))  # fmt: skip
    assert again.labels_ == potential.labels_ and again.history_ == potential.history_
    assert save(again, tmp_path / "again.ednn", unit="eV") == describe(path)["digest"]
    assert again.calculator().get_potential_energy(ATOMS[0].copy()) == pytest.approx(
        potential.predict(ATOMS[:1])[0], rel=1e-5
    )
    assert describe(path)["units"] == "eV"


def test_a_potential_that_was_read_goes_on_training(files):
    again = load(files("spectrum")[0]).set_params(warm_start=True, trainer__max_epochs=2)
    assert len(again.fit(ATOMS).history_) == 2


def test_a_function_that_made_the_network_is_left_out(tmp_path):
    model = EDNNPotential(lambda species: SpectrumNetwork(species, CUTOFF, **SMALL), max_epochs=1)
    with pytest.warns(UserWarning, match="model is a function"):
        save(model.fit(ATOMS), tmp_path / "own.ednn")
    np.testing.assert_array_equal(load(tmp_path / "own.ednn").predict(ATOMS), model.predict(ATOMS))


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}


def settings(node):
    """Return the settings of the network in a file, by name."""
    if isinstance(node, dict):
        if node.get("$") == "atomic network":
            return {pair[0]: pair for pair in node["with"]["pairs"]}
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            result = settings(each)
            if result:
                return result
    return None


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("spectrum", {"l_max": 3}, "shape|differ"),
        ("spectrum", {"l_max": 10**6}, "invalid parameters"),
        ("spectrum", {"channels": 10**7}, "shape"),
        ("spectrum", {"hidden": [10**5, 10**5]}, "shape|differ"),
        ("spectrum", {"hidden": "text"}, "cannot be read"),
        ("spectrum", {"cutoff": 1e9}, "invalid parameters"),
        ("spectrum", {"cutoff": -1.0}, "invalid parameters"),
        ("spectrum", {"activation": "exec"}, "activation must be one of"),
        ("spectrum", {"species": [14]}, "differ"),
        ("spectrum", {"species": [14, 80]}, "differ"),
        ("spectrum", {"evil": 1}, "unknown parameters"),
        ("deep-pot", {"embedding": [10**6, 10**6]}, "shape|differ"),
        ("deep-pot", {"smooth": 9.0}, "smooth must be"),
        ("descriptor", {"descriptor": 3.0}, "cannot be read"),
    ],
)
def test_crafted_settings_are_refused(name, change, message, files, tmp_path):
    parts = parts_of(files(name)[0])
    config = json.loads(parts["config.json"])
    result = settings(config["model"])
    for key, value in change.items():
        if key in result:
            result[key][1] = value
        else:
            pair = next(iter(result.values()))
            pair[0] = key
    parts["config.json"] = json.dumps(config).encode()
    _container.write(tmp_path / "crafted.ednn", parts)
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "crafted.ednn")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"AtomicPotential"', '"AtomNovelty"'),
        ('"AtomicPotential"', '"EDNNPotential"'),
        ('"SpectrumNetwork"', '"DeepPotSE"'),
        ('"SpectrumNetwork"', '"Sequential"'),
        ('"potential_"', '"predict"'),
        ('"species_"', '"species_x"'),
        ('"atomic_energies"', '"network"'),
        ('"AtomNovelty"', '"AtomTiling"'),
    ],
)
def test_parts_in_the_wrong_place_are_refused(old, new, files, tmp_path):
    parts = parts_of(files("spectrum")[0])
    text = parts["config.json"].decode()
    assert old in text
    parts["config.json"] = text.replace(old, new).encode()
    _container.write(tmp_path / "crafted.ednn", parts)
    with pytest.raises(ModelFileError, match=r"crafted.ednn cannot be read"):
        load(tmp_path / "crafted.ednn")
