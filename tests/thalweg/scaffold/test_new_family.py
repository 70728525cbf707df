"""A new family is whole: it passes linters and trains, and nothing is overwritten."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg import discovery
from thalweg.errors import ConfigError, OutputError
from thalweg.scaffold.new_family import example, write_family

MAX_LINES = 150


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] in ("fen", "my_lab")]:
        del sys.modules[module]


def test_the_example_is_short() -> None:
    texts = [file.read_text() for file in example().glob("*.py")]
    assert len(texts) == 4
    assert sum(len(text.splitlines()) for text in texts) <= MAX_LINES


@pytest.mark.parametrize("rules", ["E,F,I,B,UP,SIM,RUF", "ALL"])
def test_what_is_written_passes_the_linter(here: Path, rules: str) -> None:
    write_family("deep_ponds", "fen")
    ruff = str(Path(sys.executable).with_name("ruff"))
    unasked = [
        "--ignore",
        "D,ANN,COM812,E501,PLC0415,NPY,PLR2004,EM,TRY,S101,ARG002,INP,CPY,PLR6301,RUF012,RUF067",
    ]
    command = [ruff, "check", "--isolated", "--select", rules, *unasked, "--no-cache", "fen"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_names_are_those_of_the_family(here: Path) -> None:
    assert write_family("deep_ponds", "fen") == "fen.deep_ponds"
    family = discovery.load_family("fen.deep_ponds")
    assert family.config_type.__name__ == "DeepPondsConfig"
    texts = "".join(file.read_text() for file in (here / "fen").rglob("*.py"))
    assert "xample" not in texts and "trainables" not in texts


def test_it_is_written_into_the_only_package_or_a_new_one(here: Path) -> None:
    assert write_family("pond") == "my_lab.pond"
    assert write_family("moor") == "my_lab.moor"
    (here / "fen").mkdir()
    (here / "fen/__init__.py").touch()
    with pytest.raises(ConfigError, match="into one package, got 2 here: fen, my_lab; add --package fen"):
        write_family("bog")
    assert write_family("bog", "fen.wet") == "fen.wet.bog"
    assert discovery.own_families() == ("fen.wet.bog", "my_lab.moor", "my_lab.pond")


def test_nothing_is_overwritten(here: Path) -> None:
    write_family("pond", "fen")
    before = {file: file.read_text() for file in here.rglob("*.py")}
    (here / "fen/mere.py").write_text("answer = 42\n")
    for name, path in (("pond", "fen/pond"), ("mere", "fen/mere.py")):
        with pytest.raises(OutputError, match=f"must not replace anything, got {path}, which exists"):
            write_family(name, "fen")
    assert {file: file.read_text() for file in here.rglob("*.py") if file.stem != "mere"} == before


@pytest.mark.parametrize(
    ("name", "package", "law"),
    [
        ("Lakes", "fen", r"lower-case letters, .* got 'Lakes'; try lakes"),
        ("class", "fen", r"no word of Python's, got 'class'"),
        ("a-b", "fen", r"got 'a-b'; try a_b"),
        ("lakes", "fen.Wet", r"name of a package must be .* got 'Wet'; try wet"),
        ("lakes", "pytest", r"like one that is installed, got 'pytest', .*, for instance lab_pytest"),
    ],
)
def test_a_name_that_cannot_be_imported_is_refused(here: Path, name: str, package: str, law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        write_family(name, package)
    assert list(here.iterdir()) == []


def test_a_package_that_the_user_is_in_is_left_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_family("pond", "fen")
    monkeypatch.chdir(here / "fen")
    with pytest.raises(ConfigError, match=r"from outside of its package, .*; cd \.\., and add --package fen"):
        write_family("moor")
