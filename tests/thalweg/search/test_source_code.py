"""The code of a study's trials: which modules count, what counts in them, and what a change of them does."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept import evaluated

from thalweg import discovery
from thalweg.errors import StudyError
from thalweg.scaffold.new_family import write_family
from thalweg.scaffold.new_space import write_space
from thalweg.search.source_code import SourceCode, source_code
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal


@pytest.fixture
def mere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``mere`` with the family ``pond`` and the space ``rates``, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    write_family("pond", "mere")
    write_space("rates", "mere.pond", "mere")
    yield tmp_path / "mere"
    for module in [name for name in sys.modules if name.partition(".")[0] == "mere"]:
        del sys.modules[module]


def code() -> SourceCode:
    space = load_space("mere.rates")
    return source_code(space, discovery.load_family(space.config_type))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_it_is_what_training_imports(mere: Path) -> None:
    (mere / "losses.py").write_text("from mere import scales\n\n\ndef loss():\n    import mere.deep.layers\n")
    (mere / "scales.py").write_text("ONE = 1\n")
    (mere / "unused.py").write_text("ONE = 1\n")
    (mere / "deep").mkdir()
    (mere / "deep/__init__.py").write_text('"""Layers."""\nSCALE = 2\n')
    (mere / "deep/layers.py").write_text("from . import SCALE\nfrom .blocks import block\n")
    (mere / "deep/blocks.py").write_text("def block(): ...\n")
    change(mere / "pond/task.py", "import hashlib\n", "import hashlib\n\nfrom mere.losses import loss\n")
    found = code()
    assert set(found.hashes) == {
        f"mere/{name}.py"
        for name in (
            "losses",
            "scales",
            "deep/__init__",
            "deep/layers",
            "deep/blocks",
            "pond/config",
            "pond/task",
        )
    }
    assert found.texts["mere/scales.py"] == "ONE = 1\n"


def test_finding_it_imports_no_module_and_takes_no_pictures(mere: Path) -> None:
    (mere / "losses.py").write_text("raise RuntimeError('imported')\n")
    (mere / "pictures.py").write_text("INK = 1\n")
    (mere / "fast.so").write_bytes(b"\x7fELF")
    (mere / "deep").mkdir()
    (mere / "deep/layers.py").write_text("raise RuntimeError('imported')\n")
    change(
        mere / "pond/task.py",
        "import hashlib\n",
        "import hashlib\n\n\ndef later():\n    from mere import fast\n    from mere.losses import loss\n"
        "    from mere.deep.layers import block\n\n\ndef draw():\n    from mere.pictures import INK\n",
    )
    found = set(code().hashes)
    assert {"mere/losses.py", "mere/deep/layers.py", "mere/pond/task.py"} <= found
    assert not {"mere/pictures.py", "mere/fast.py"} & found
    assert not {"mere.losses", "mere.deep.layers"} & set(sys.modules)


@pytest.mark.slow
def test_a_family_of_the_house_is_its_own_folder_without_what_makes_and_imports_data() -> None:
    space = load_space("quickstart")
    found = source_code(space, discovery.load_family(space.config_type))
    assert {"trainables/water_mae/config.py", "trainables/water_mae/task.py"} <= set(found.hashes)
    assert all(name.startswith("trainables/water_mae/") for name in found.texts)
    assert not any(part in name for name in found.texts for part in ("/importing/", "/worlds/", "datasets"))


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ('    """Features of each encoder."""', '    """Another sentence."""  # and why', False),
        ("ge=1, le=1024", "ge = 1,\n        le=1024", False),
        ("ge=1, le=1024", "ge=1, le=2048", True),
    ],
)
def test_comments_sentences_and_formatting_do_not_count(mere: Path, old: str, new: str, counts: bool) -> None:
    before = code()
    change(mere / "pond/config.py", old, new)
    after = code()
    assert (before.hash != after.hash) is counts
    assert before.texts != after.texts


def test_the_text_is_kept_in_a_folder(mere: Path, tmp_path: Path) -> None:
    found = code()
    found.keep(tmp_path / "kept")
    found.keep(tmp_path / "kept")
    assert (tmp_path / "kept/mere/pond/task.py").read_text() == (mere / "pond/task.py").read_text()


def opened(tmp_path: Path, *, trains: bool = False) -> Ledger:
    ledger = Ledger.open(tmp_path / "s", "s", load_space("mere.rates"))
    if trains:
        trial = ledger.ask()
        assert isinstance(trial, Proposal)
        ledger.report(trial.number, evaluated(samples=1024, value=0.5, metrics={"rmse": 0.5}))
    return ledger


def test_a_study_whose_code_has_changed_is_refused_unless_the_change_is_accepted(
    mere: Path, tmp_path: Path
) -> None:
    before = code().hashes
    ledger = opened(tmp_path)
    assert not list(ledger.code.check({"other.py": "0"}))
    assert not list(ledger.code.check(before))  # nothing was trained with the other
    ledger.close()
    ledger = opened(tmp_path, trains=True)
    assert not list(ledger.code.check(before))
    change(mere / "pond/task.py", "nn.GELU()", "nn.ReLU()")
    now = code().hashes
    with pytest.raises(
        StudyError, match=r"has 1 module changed since its last trial: mere/pond/task\.py; give"
    ):
        list(ledger.code.check(now))
    told = list(ledger.code.check(now, accept=True))
    assert "run other code, 1 module changed" in told[0]
    assert not list(ledger.code.check(now))
    with pytest.raises(StudyError, match="keeps the code of its trials"):
        list(ledger.code.check(before))
    ledger.close()


def test_a_study_that_was_begun_before_code_was_recorded_goes_on_and_says_so_once(
    mere: Path, tmp_path: Path
) -> None:
    ledger = opened(tmp_path, trains=True)
    told = list(ledger.code.check(code().hashes))
    assert len(told) == 1 and "was begun before code was recorded" in told[0]
    assert not list(ledger.code.check(code().hashes))
    ledger.close()
