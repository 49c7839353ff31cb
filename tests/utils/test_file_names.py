"""What is not a file is rejected by every reader, before reading it hangs."""

import os
import signal

import numpy as np
import pytest

from sk_ednn import fields, files, images, structures
from sk_ednn.exceptions import ModelFileError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")


@pytest.fixture
def impatient():
    """End a test that waits for a pipe."""

    def end(number, frame):
        pytest.fail("A reader waits for a pipe.")  # no Exception, which readers may catch

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pictures():
    return [images.as_picture(np.zeros((20, 20)), "a.png")]


READERS = {
    "array": ("a.npy", fields.ArraySource),
    "model": ("a.ednn", files.load),
    "summary": ("a.ednn", files.describe),
    "picture": ("a.png", images.read_pictures),
    "pictures": ("a.tif", lambda path: images.read_pictures(path.parent)),
    "totals": ("a.csv", lambda path: images.match_totals(pictures(), path)),
    "sheet": ("a.xlsx", lambda path: images.match_totals(pictures(), path)),
    "dots": ("a.csv", lambda path: images.read_dots(pictures(), path)),
    "boxes": ("a.csv", lambda path: images.read_boxes(pictures(), path)),
    "structures": ("a.extxyz", structures.read_structures),
    "structure": ("POSCAR", lambda path: structures.read_structures([path])),
    "density": ("a.cube", structures.read_densities),
    "density of VASP": ("CHGCAR", structures.read_densities),
}


@pytest.mark.parametrize("reader", READERS)
def test_pipes_are_rejected_before_they_are_opened(reader, tmp_path, impatient):
    if "struct" in reader or "density" in reader:
        pytest.importorskip("ase")
    name, read = READERS[reader]
    os.mkfifo(tmp_path / name)
    with pytest.raises((OSError, ValueError, ModelFileError), match=f"{name}.*a named pipe"):
        read(tmp_path / name)
