"""Structures from files, and as plain arrays."""

import builtins

import numpy as np
import pytest

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.exceptions import MissingExtraError
from sk_ednn.structures import read_structures

pytest.importorskip("ase")
from ase import build, io


def sheets(n=4):
    """Return graphene with displaced atoms."""
    sheet = build.graphene_nanoribbon(2, 2, type="armchair", sheet=True, vacuum=3.0)
    sheet.set_cell([[4.0, 0, 0], [0, 9, 0], [0, 0, 4.5]], scale_atoms=True)
    sheet.pbc = (True, False, True)
    results = []
    for seed in range(n):
        results.append(sheet.copy())
        results[-1].rattle(0.05, seed=seed)
    return results


def draw(**params):
    return GaussianRasterizer(0.25, 0.25, plane="xz", **params)


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj"])
@pytest.mark.parametrize("as_string", [True, False])
def test_a_path_means_all_its_structures(name, as_string, tmp_path):
    frames, path = sheets(), tmp_path / name
    io.write(path, frames)
    fields = draw().fit_transform(str(path) if as_string else path)
    assert fields.shape == (4, 16, 18)
    np.testing.assert_allclose(fields, draw().fit_transform(frames), atol=1e-5)
    assert len(draw().fit(frames).position_gradients(path)) == 4
    assert draw().fit_transform(f"{path}@1:3").shape[0] == 2


@pytest.mark.parametrize(("name", "form"), [("POSCAR", "vasp"), ("one.cif", "cif")])
def test_formats_of_crystals(name, form, tmp_path):
    """Both formats are periodic along all axes."""
    crystal = build.bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    io.write(tmp_path / name, crystal, format=form)
    fields = GaussianRasterizer(0.35, 0.3, plane="xyz").fit_transform(tmp_path / name)
    expected = GaussianRasterizer(0.35, 0.3, plane="xyz").fit_transform([crystal])
    np.testing.assert_allclose(fields, expected, atol=1e-5)


def test_primitive_cells_of_crystals_are_drawn(tmp_path):
    """A path in a list means one structure."""
    crystal = build.bulk("Cu", "fcc", a=3.6)
    io.write(tmp_path / "copper.xyz", crystal)
    spacing = 3.6 / np.sqrt(2) / 9
    rasterizer = GaussianRasterizer(spacing, 0.3, plane="xyz", dtype="float64")
    field = rasterizer.fit_transform([crystal, str(tmp_path / "copper.xyz")])
    assert field.shape == (2, 9, 9, 9) and rasterizer.angles_ == pytest.approx((60, 60, 60))
    np.testing.assert_allclose(field[0], field[1], atol=1e-5)
    # Seen along any edge of the primitive cell the crystal is the same.
    np.testing.assert_allclose(field[0], field[0].transpose(2, 0, 1), atol=1e-6)


def test_tuples_of_arrays_are_structures():
    (atoms,) = sheets(1)
    plain = (atoms.numbers, atoms.positions, np.array(atoms.cell))
    expected = draw().fit_transform([atoms])
    assert np.array_equal(draw().fit_transform([plain]), expected)
    assert np.array_equal(draw().fit_transform([(*plain, atoms.pbc)]), expected)
    assert np.array_equal(draw().fit_transform([(*plain, True)]), expected)


def test_a_path_in_a_pipeline(tmp_path):
    from sklearn.pipeline import make_pipeline

    frames = sheets(6)
    io.write(tmp_path / "run.extxyz", frames)
    model = make_pipeline(
        draw(channels="species"), EDNNRegressor(None, GridTiling(2, 1, channel_axis=-1))
    )
    model.fit(str(tmp_path / "run.extxyz"), np.arange(6.0))
    assert model.predict(frames).shape == (6,)


def test_unreadable_files(tmp_path, monkeypatch):
    path = tmp_path / "run.extxyz"
    io.write(path, sheets(3))
    with pytest.raises(ValueError, match=r"X\[0\], .*contains 3.*Pass the path.*@0'"):
        draw().fit([path])
    with pytest.raises(FileNotFoundError):
        draw().fit(tmp_path / "nowhere.xyz")
    with pytest.raises(ValueError, match="contains no structures"):
        draw().fit(f"{path}@5:")
    plain = builtins.__import__

    def without_ase(name, *args, **kwargs):
        if name.startswith("ase"):
            raise ImportError(name="ase")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_ase)
    with pytest.raises(MissingExtraError, match=r"pip install 'sk-ednn\[atoms\]'"):
        draw().fit(path)


def numbered(tmp_path, name, *numbers):
    """Write structures with different numbers in their info."""
    frames = sheets(len(numbers))
    for frame, number in zip(frames, numbers, strict=True):
        frame.info["number"] = number
    form = "traj" if ".traj" in name else None
    io.write(tmp_path / name, frames, format=form)


def numbers_of(names):
    return [structure.info["number"] for structure in read_structures(names)]


def test_files_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "b").mkdir(parents=True)
    numbered(tmp_path, "runs/2.traj", 0, 1, 2)
    numbered(tmp_path, "runs/10.extxyz", 3, 4)
    numbered(tmp_path, "runs/b/last.traj", 5, 6)
    assert numbers_of("runs/2.traj@1:") == [1, 2]
    assert numbers_of("runs/2.traj@-1") == [2] and numbers_of("runs/2.traj@0") == [0]
    assert numbers_of("runs") == [3, 4, 0, 1, 2]  # sorted by name; folders in it are others
    assert numbers_of(tmp_path / "runs" / "b") == [5, 6]
    assert numbers_of("runs/*.traj") == [0, 1, 2]
    assert numbers_of("runs/**/*.traj@-1") == [2, 6]
    assert numbers_of(["runs/2.traj", "runs/b@0"]) == [0, 1, 2, 5]


def test_existing_names_precede_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path, "run.traj", 0, 1, 2)
    numbered(tmp_path, "run.traj@0", 3)
    numbered(tmp_path, "300K@1.traj", 4, 5)
    (tmp_path / "at[0]@2").mkdir()
    numbered(tmp_path, "at[0]@2/x[1].traj", 6, 7)
    assert numbers_of("run.traj@0") == [3] and numbers_of("run.traj@1") == [1]
    assert numbers_of("300K@1.traj") == [4, 5] and numbers_of("300K@1.traj@1") == [5]
    assert numbers_of("at[0]@2/x[1].traj") == [6, 7] and numbers_of("at[0]@2@1") == [7]


@pytest.mark.parametrize("name", ["cells.extxyz", "cells.traj", "cell.vasp"])
def test_places_have_an_index_if_a_file_has_several_structures(name, tmp_path, monkeypatch):
    from sk_ednn.structures._files import read_with_places

    monkeypatch.chdir(tmp_path)
    several = [build.bulk("Cu", cubic=True, a=a) for a in (3.5, 3.6, 3.7)]
    io.write(name, several[0])
    assert [place for _, place in read_with_places(name)] == [name]
    if name == "cell.vasp":
        return
    io.write(name, several)
    places = [place for _, place in read_with_places(name)]
    assert [place.partition(" (")[0] for place in places] == [
        f"{name}, structure {k}" for k in range(3)
    ]
    assert [place for _, place in read_with_places(f"{name}@1")] == [f"{name}@1"]


def test_errors_name_the_file_and_the_structure_in_it(tmp_path):
    numbered(tmp_path, "run.extxyz", 0, 1, 2)
    lines = (tmp_path / "run.extxyz").read_text().splitlines()
    lines[2 * len(lines) // 3 + 4] = "C what"
    (tmp_path / "cut.extxyz").write_text("\n".join(lines))
    (tmp_path / "empty.extxyz").write_text("")
    (tmp_path / "POSCAR").write_text("nothing\n1.0\n")
    (tmp_path / "some.unheard-of").write_text("1 2 3")
    (tmp_path / "run.bundle").mkdir()
    (tmp_path / "old.trj").write_bytes(b"PickleTrajectory")
    for name, message in {
        "cut.extxyz": r"cut.extxyz cannot be read, at structure 2 \(counted from 0\), from line 37",
        "empty.extxyz": "empty.extxyz",
        "POSCAR": "POSCAR cannot be read, at structure 0",
        "some.unheard-of": "some.unheard-of cannot be read",
        "run.extxyz@a": "run.extxyz@a cannot be read",
        "run.extxyz@7": "run.extxyz@7.* contains no structures",
        "old.trj": "old.trj cannot be read.*a pickle",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_structures(tmp_path / name)
    for name in ("run.bundle", "nowhere.traj", "nowhere/*.traj", "nowhere.traj@0"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            read_structures(tmp_path / name)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_poscar_that_is_cut_short_has_no_other_atoms(direct, fixed, tmp_path):
    """ASE takes a line with a single number for three equal coordinates."""
    from ase.build import bulk
    from ase.constraints import FixAtoms

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    if fixed:
        atoms.set_constraint(FixAtoms([0]))
    io.write(tmp_path / "whole", atoms, format="vasp", direct=direct)
    text = (tmp_path / "whole").read_text()
    (tmp_path / "POSCAR").write_text(text)
    np.testing.assert_allclose(read_structures(tmp_path / "POSCAR")[0].positions, atoms.positions)
    lines = text.rstrip("\n").split("\n")
    for n_words in (0, 1, 2):
        last = " ".join(lines[-1].split()[:n_words])
        (tmp_path / "POSCAR").write_text("\n".join([*lines[:-1], last]))
        with pytest.raises(ValueError, match="POSCAR cannot be read, at structure 0"):
            read_structures(tmp_path / "POSCAR")


@pytest.mark.parametrize("mode", ["Direct", "Selective dynamics\nCartesian"])
@pytest.mark.parametrize(
    ("names", "counts", "n_lines", "message"),
    [
        ("Cu", "4", 4, None),
        ("Cu Cu", "3 1", 4, None),
        ("Cu", "3", 4, "coordinates of more than the 3 atoms of its numbers"),
        ("Cu", "4", 5, "coordinates of more than the 4 atoms"),
        ("Cu O", "4", 4, r"names 2 species, Cu O, and has 1 number\(s\) of atoms"),
        ("Cu O Ti", "2 2 ! atoms", 4, "names 3 species"),
    ],
)
def test_a_poscar_agrees_with_its_numbers_of_atoms(mode, names, counts, n_lines, message, tmp_path):
    """ASE reads as many species and atoms as there are numbers, and ignores the others."""
    flags = " T F T" if "dynamics" in mode else ""
    atoms = "\n".join(f"0.{k} 0.{k + 1} 0.3{flags}" for k in range(n_lines))
    text = f"a comment\n1.0\n4 0 0\n0 4 0\n0 0 4\n{names}\n{counts}\n{mode}\n{atoms}\n"
    for after in ("", "\n" + " 0.1 0.2 0.3\n" * 4):  # velocities
        (tmp_path / "POSCAR").write_text(text + after)
        if message is None:
            assert len(read_structures(tmp_path / "POSCAR")[0]) == 4
            continue
        with pytest.raises(ValueError, match=message):
            read_structures(tmp_path / "POSCAR")


def labelled_cells(n=3):
    """Return cells with forces in the file, whose lines end with a number."""
    from ase.calculators.singlepoint import SinglePointCalculator

    cells, rng = [], np.random.default_rng(0)
    for k in range(n):
        cells.append(build.bulk("Cu", cubic=True))
        cells[-1].rattle(0.1, seed=k)
        forces = rng.normal(size=(4, 3))
        cells[-1].calc = SinglePointCalculator(cells[-1], energy=-1.5 - k, forces=forces)
    return cells


@pytest.mark.parametrize(
    ("name", "form"), [("a.extxyz", "extxyz"), ("POSCAR", "vasp"), ("a.xsf", "xsf")]
)
def test_files_that_end_within_a_number_are_rejected(name, form, tmp_path):
    """A number that was cut off is another one."""
    cells = labelled_cells(1)
    io.write(tmp_path / name, cells[0], format=form)
    text = (tmp_path / name).read_text().rstrip()
    (tmp_path / name).write_text(text)
    assert len(read_structures(tmp_path / name)) == 1  # a newline at the end is not needed
    for n in range(1, 9):
        (tmp_path / name).write_text(text[:-n])
        with pytest.raises(ValueError, match=f"{name} cannot be read.*ends within a number"):
            read_structures(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("2\n\nCu 0.25 0.25 0.25\nCu 1.75 1.75 1.5", False),
        ("2\n\nCu 0.2500 0.2500 0.2500\nCu 1.7500 1.7500 2", True),
        (
            "2\nProperties=species:S:1:pos:R:3:tag:I:1\nCu 0.2500 0.2500 0.2500 1\n"
            "Cu 1.7500 1.7500 1.7500 2",
            False,
        ),
    ],
)
def test_numbers_written_by_hand_may_be_short(text, is_cut, tmp_path):
    (tmp_path / "a.xyz").write_text(text)
    if is_cut:
        with pytest.raises(ValueError, match="ends within a number, 2,"):
            read_structures(tmp_path / "a.xyz")
        (tmp_path / "a.xyz").write_text(text + "\n")  # a whole line
    assert len(read_structures(tmp_path / "a.xyz")[0]) == 2


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("between", [[], ["\n"], ["", "\n"], ["", "", " \n\n"]])
def test_structures_behind_blank_lines_are_not_left_out(between, compressed, tmp_path):
    """ASE ends at the first blank line, as between files that were pasted together."""
    from ase.io.formats import open_with_compression

    texts = []
    for cell in labelled_cells():
        io.write(tmp_path / "one.extxyz", cell)
        texts.append((tmp_path / "one.extxyz").read_text())
    path = tmp_path / f"all.extxyz{compressed}"
    with open_with_compression(path, "wt") as file:
        for k, text in enumerate(texts):
            file.write((between[k] if k < len(between) else "") + text)
        file.write("\n \n")  # at the end they say nothing
    if not between:
        assert len(read_structures(path)) == 3
        return
    line = 1 + 6 * (len(between) - 1)
    with pytest.raises(ValueError, match=f"line {line} is blank, and a number of atoms"):
        read_structures(path)


@pytest.mark.parametrize(
    ("encoding", "remedy"), [("utf-8-sig", "UTF-8 without one"), ("utf-16", "save it as UTF-8")]
)
def test_other_encodings_are_named(encoding, remedy, tmp_path):
    io.write(tmp_path / "one.extxyz", labelled_cells(1))
    text = (tmp_path / "one.extxyz").read_text()
    (tmp_path / "a.extxyz").write_text(text, encoding=encoding)
    with pytest.raises(ValueError, match=f"a.extxyz cannot be read.*{remedy}"):
        read_structures(tmp_path / "a.extxyz")


def test_calculations_that_were_stopped_have_their_whole_steps(tmp_path):
    """A number that is cut off in the step that follows is not read."""
    vectors = "".join(
        f"<v> {' '.join(f'{4.0 * (i == j):.8f}' for j in range(3))} </v>\n" for i in range(3)
    )
    place = "<v> 0.12345678 0.25000000 0.50000000 </v>\n"
    structure = (
        f'><crystal><varray name="basis">\n{vectors}</varray></crystal>'
        f'<varray name="positions">\n{place}</varray></structure>\n'
    )
    energy = '<energy><i name="e_fr_energy"> -1.5 </i><i name="e_wo_entrp"> -1.5 </i></energy>'
    step = (
        f"<calculation><scstep>{energy.replace('wo_entrp', '0_energy')}</scstep><structure"
        f'{structure}<varray name="forces">\n{place}</varray>{energy}</calculation>\n'
    )
    head = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling><incar/><kpoints/><parameters/>'
        '<atominfo><atoms>1</atoms><array name="atoms"><set><rc><c>Cu</c><c>1</c></rc></set>'
        f'</array></atominfo>\n<structure name="initialpos"{structure}'
    )
    text = head + 3 * step
    (tmp_path / "vasprun.xml").write_text(text[: text.rindex("0.50000000") + 5])
    frames = read_structures(tmp_path / "vasprun.xml")
    assert len(frames) == 2
    np.testing.assert_allclose(frames[1].positions, [[4 * 0.12345678, 1.0, 2.0]])
