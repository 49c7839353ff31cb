"""The check of built pages finds missing texts, images and places."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "check_pages.py"
PAGE = '<html lang="en"><h1 id="here">A</h1><a href="other.html#there">x</a>{}</html>'


def check(folder):
    return subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(PAGE.format('<img src="a.png" alt="A tile.">'))
    (tmp_path / "other.html").write_text('<html lang="en"><p id="there"></p></html>')
    (tmp_path / "a.png").touch()
    return tmp_path


def test_intact_pages_have_no_faults(site):
    result = check(site)
    assert result.returncode == 0 and "no faults" in result.stdout, result.stderr


@pytest.mark.parametrize(
    "body, fault",
    [
        ('<img src="a.png">', "has no alt text"),
        ('<img src="a.png" alt="a.png">', "has no alt text"),
        ('<img src="b.png" alt="A tile.">', "b.png does not exist"),
        ('<a href="gone.html">x</a>', "gone.html, which does not exist"),
        ('<a href="#gone">x</a>', "no such place"),
        ('<a href="other.html#gone">x</a>', "no such place"),
    ],
)
def test_faults_are_found(site, body, fault):
    (site / "index.html").write_text(PAGE.format(body))
    result = check(site)
    assert result.returncode == 1 and fault in result.stdout


def test_colours_of_little_contrast_are_found(site):
    (site / "_static").mkdir()
    (site / "_static" / "site.css").write_text("p { color: #999999; background: #aaaaaa; }")
    assert "contrast 1." in check(site).stdout
