"""The examples of README.md run as they stand there, and print what it shows."""

import re
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def blocks():
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def words(text):
    """Return a text without its numbers and spaces."""
    return re.sub(r"[\s#]+", " ", NUMBER.sub("#", text)).strip()


def test_examples_run_and_print_what_is_shown(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("skorch")
    monkeypatch.chdir(tmp_path)
    n_threads = torch.get_num_threads()
    namespace, n_run, printed = {"__name__": "__main__"}, 0, ""
    try:
        for kind, text in blocks():
            if kind == "python":
                with threadpool_limits(1):  # more are not faster, and much slower on a busy machine
                    exec(compile(text, str(README), "exec"), namespace)
                n_run, printed = n_run + 1, capsys.readouterr().out
                continue
            assert words(printed) == words(text)
            shown, seen = (list(map(float, NUMBER.findall(t))) for t in (text, printed))
            # Other processors round otherwise: small numbers are errors, and need not repeat.
            large = [(a, b) for a, b in zip(shown, seen, strict=True) if abs(a) > 1]
            assert [b for _, b in large] == pytest.approx([a for a, _ in large], rel=0.2)
    finally:
        torch.set_num_threads(n_threads)
    assert n_run >= 3


def test_what_it_links_to_is_there():
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^):]+)\)", text)
    links += ["CONTRIBUTING.md", "CITATION.cff", "LICENSE"]
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_extras_are_those_of_the_package():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"]) - {"test", "browser", "lint", "docs"}
    section = README.read_text(encoding="utf-8").partition("## Installation")[2]
    rows = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == extras
