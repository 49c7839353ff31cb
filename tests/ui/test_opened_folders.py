"""Paths that lead out of the opened folders, and names of uploads."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.ui._security import Refused, plain_name, within


@pytest.fixture
def folders(tmp_path):
    """An opened folder with a file, and one beside it that is not opened."""
    opened, other = tmp_path / "opened", tmp_path / "opened-not"
    (opened / "deep").mkdir(parents=True)
    other.mkdir()
    (opened / "spins.npz").write_bytes(b"1")
    (opened / "deep" / "a.npy").write_bytes(b"1")
    (opened / ".ui-token").write_text("secret")
    (other / "secret.npz").write_bytes(b"1")
    return opened, other


@pytest.mark.parametrize("name", ["spins.npz", "deep/a.npy", "deep/../spins.npz", "."])
def test_files_in_the_folder_are_found(folders, name):
    opened, _ = folders
    assert within([opened], name) == (opened / name).resolve()


@pytest.mark.parametrize(
    "name",
    [
        "../opened-not/secret.npz",
        "deep/../../opened-not/secret.npz",
        "..",
        "/etc/passwd",
        "/",
        "~/.ssh/id_rsa",
        ".ui-token",
        "deep/../.ui-token",
        "nothing.npz",
        "spins.npz/../../opened-not/secret.npz",
        "spins.npz\0.txt",
        "..\\opened-not\\secret.npz",
        "%2e%2e/opened-not/secret.npz",
        "a" * 5000,
    ],
)
def test_paths_out_of_the_folder_are_refused(folders, name):
    opened, _ = folders
    with pytest.raises(Refused, match="no such file"):
        within([opened], name)


def test_links_out_of_the_folder_are_refused(folders):
    opened, other = folders
    (opened / "link.npz").symlink_to(other / "secret.npz")
    (opened / "folder").symlink_to(other)
    (opened / "hard").symlink_to(opened / ".ui-token")
    (opened / "circle").symlink_to(opened / "circle")
    for name in ("link.npz", "folder/secret.npz", "hard", "circle"):
        with pytest.raises(Refused):
            within([opened], name)


def test_links_within_the_folder_are_followed(folders):
    opened, _ = folders
    (opened / "link.npz").symlink_to(opened / "spins.npz")
    assert within([opened], "link.npz") == opened / "spins.npz"


def test_opened_folder_may_be_a_link(folders, tmp_path):
    opened, _ = folders
    (tmp_path / "alias").symlink_to(opened)
    assert within([tmp_path / "alias"], "spins.npz").name == "spins.npz"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("spins.npz", "spins.npz"),
        ("C:\\Users\\me\\spins.npz", "spins.npz"),
        ("../../etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("--output=x.csv", "output=x.csv"),
        ("<script>alert(1)</script>.csv", "script_.csv"),
        ("a\nb\x00c.csv", "a_b_c.csv"),
        ("$(rm -rf ~).csv", "_(rm -rf _).csv"),
        ("ünïcode Größe.csv", "ünïcode Größe.csv"),
        ("", "file"),
        ("...", "file"),
        ("/", "file"),
    ],
)
def test_names_of_uploads_are_plain(name, kept):
    assert plain_name(name) == kept


@given(st.text(max_size=400))
def test_any_name_of_an_upload_is_a_file_in_its_folder(name):
    kept = plain_name(name)
    assert os.path.basename(kept) == kept and kept not in ("", ".", "..")
    assert not kept.startswith((".", "-")) and "\0" not in kept
    assert len(kept.encode()) <= 200
    assert plain_name(kept) == kept
