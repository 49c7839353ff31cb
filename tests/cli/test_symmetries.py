"""Symmetries of the lattice from the command line."""

import json

import numpy as np
import pytest

from sk_ednn import files
from sk_ednn.cli._fit_couplings import rows_of

pytest.importorskip("typer")
pytest.importorskip("skops")


@pytest.fixture(scope="module")
def spins(folder):
    """Return spins 1 of a square lattice; totals are sums of pairs and of their squares."""
    X = np.random.default_rng(0).integers(-1, 2, size=(90, 6, 6)).astype(np.int8)
    s = X.astype(float)
    y = sum(
        (0.6 * s**2 * np.roll(s, 1, axis) ** 2 - s * np.roll(s, 1, axis)).sum(axis=(1, 2))
        for axis in (1, 2)
    )
    np.savez(folder / "spins1.npz", X=X, y=y)
    np.savez(
        folder / "vectors.npz", X=np.random.default_rng(0).normal(size=(20, 6, 6, 2)), y=y[:20]
    )
    return X


def turned(X):
    return [np.rot90(X, axes=(1, 2)), X[:, ::-1]]


@pytest.mark.parametrize("model", ["auto", "quadratic", "cubic"])
@pytest.mark.parametrize("more", ["", "--categorical"])
def test_models_have_the_symmetries_that_were_given(model, more, run, folder, spins):
    line = f"fit spins1.npz --symmetries reflect,rotate -m {model} {more} -o spins1.ednn --json"
    result = json.loads(run(line).stdout)
    assert result["symmetries"] == "reflect,rotate"
    fitted = files.load(folder / "spins1.ednn")
    for fields in turned(spins):
        np.testing.assert_allclose(fitted.predict(fields), fitted.predict(spins), atol=1e-8)
    assert "symmetries: reflect, rotate" in run("inspect spins1.ednn").stdout


def test_auto_finds_totals_of_few_systems_by_symmetry_and_channels(run, spins):
    shares = []
    for more in ("", "--symmetries reflect,rotate"):
        done = run(f"fit spins1.npz {more} -o spins1.ednn --json --test-fraction 0.3")
        shares.append(json.loads(done.stdout)["verdict"]["over_spread"])
    assert shares[1] < 1e-4 < 1e-2 < shares[0]


def test_flip_keeps_totals_of_opposite_spins(run, folder, spins):
    run("fit spins1.npz --symmetries reflect,rotate,flip -m quadratic -o spins1.ednn --json")
    fitted = files.load(folder / "spins1.ednn")
    np.testing.assert_allclose(fitted.predict(-spins), fitted.predict(spins), atol=1e-10)


@pytest.mark.parametrize("more", ["", "--categorical", "-m quadratic --categorical"])
def test_flip_of_signed_labels_reverses_their_channels(more, run, folder, spins):
    """A channel for each value is compared, chosen and fitted with the change of sign."""
    line = f"fit spins1.npz --symmetries reflect,rotate,flip {more} -o spins1.ednn --json"
    result = json.loads(run(line).stdout)
    assert result["verdict"]["over_spread"] < 1e-4 and "next" not in result
    fitted = files.load(folder / "spins1.ednn")
    np.testing.assert_allclose(fitted.predict(-spins), fitted.predict(spins), atol=1e-8)


def test_inspect_prints_the_couplings_of_the_energy(run, folder, spins):
    run("fit spins1.npz --symmetries reflect,rotate -o spins1.ednn --unit J --quiet")
    said = run("inspect spins1.ednn").stdout
    assert "coupling of pairs: product -1 J at 0 1, 1 0\n" in said
    assert "coupling of pairs: product of squares 0.6 J at 0 1, 1 0\n" in said
    assert "coupling of sites" not in said and "about: couplings" not in said
    assert "about: couplings" in run("inspect spins1.ednn --all").stdout


def test_models_of_more_than_pairs_have_no_couplings_in_their_file(run, folder, spins):
    """And models whose errors are so large that terms are missing."""
    for options in ("-m cubic", "-m quadratic --context 0"):
        run(f"fit spins1.npz {options} -o cubic.ednn --quiet --force")
        assert "coupling" not in run("inspect cubic.ednn").stdout


@pytest.mark.parametrize(
    "stored",
    [
        None,
        3,
        [],
        {"pairs": 3, "sites": "a"},
        {"pairs": {"a": [1]}, "sites": {"b": "c", "d": True}},
    ],
)
def test_couplings_of_damaged_files_are_not_printed(stored):
    assert rows_of(stored) == []


def test_what_couplings_do_not_explain_is_printed():
    rows = rows_of({"pairs": {"product": {"1": 2.0}}, "sites": {}, "explained": 0.5})
    assert "as little as 50 %" in rows[-1][1]


def test_flip_of_labels_without_signs_is_said(run, folder, spins):
    np.savez(folder / "from0.npz", X=spins + 1, y=np.load(folder / "spins1.npz")["y"])
    line = "fit from0.npz --symmetries flip -o from0.ednn"
    assert "0, 1, 2 are not symmetric about zero" in " ".join(run(line).stderr.split())
    said = run(f"{line} --categorical --force", 1).output
    assert "labels 0, 1, 2 are not symmetric about zero. Leave out flip" in " ".join(said.split())


def test_systems_fewer_than_unknowns_are_pointed_to_symmetries(run, spins):
    line = "fit spins1.npz --categorical -m quadratic -o spins1.ednn --test-fraction 0.7"
    assert "--symmetries reflect,rotate, if totals do not depend" in " ".join(
        run(line).stdout.split()
    )
    assert "--symmetries" not in run(f"{line} --context 1,0").stdout


def test_vectors_are_not_turned_and_that_is_said(run, spins):
    line = "fit vectors.npz --channel-axis -1 --symmetries reflect -m quadratic -o vectors.ednn"
    assert "wrong for vectors that turn with the lattice" in run(line).stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--symmetries turn", "must be some of reflect, rotate, flip"),
        ("--symmetries reflect -m kernel", "is for --model auto, quadratic, cubic or dense"),
        ("--symmetries flip -m dense", "is for --model quadratic and cubic"),
        ("--symmetries flip --angles 360", "angles have none"),
        ("--symmetries rotate --context 1,0 -m quadratic", "Leave out 'rotate'"),
    ],
)
def test_symmetries_that_do_not_exist_are_refused(options, words, run, spins):
    assert words in " ".join(run(f"fit spins1.npz {options} -o none.ednn", 1).output.split())


def test_networks_are_trained_with_the_symmetries(run, folder, spins):
    pytest.importorskip("skorch")
    run("fit spins1.npz --symmetries reflect,rotate -m dense --epochs 1 -o dense.ednn")
    assert files.load(folder / "dense.ednn").solver.symmetries == ("reflect", "rotate")
