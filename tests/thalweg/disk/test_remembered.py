"""What is remembered about code is what would be found again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from thalweg.disk import remembered as memory
from thalweg.disk.caches import cache_folder
from thalweg.disk.remembered import remembered

PACKAGE = "remembered_lab.rivers"


class Sum(BaseModel):
    """An answer."""

    total: int


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that imports a module beside it and one of another folder; what is remembered goes into `cache`."""
    rivers = tmp_path / "remembered_lab" / "rivers"
    rivers.mkdir(parents=True)
    (rivers / "__init__.py").write_text("")
    (rivers / "table.csv").write_text("1,2")
    (rivers / "task.py").write_text("import remembered_common\n")
    (tmp_path / "remembered_common.py").write_text("WIDTH = 8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "BEGAN_NS", 2**63)
    __import__(f"{PACKAGE}.task")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("remembered_")]:
        del sys.modules[name]


@pytest.fixture
def ask(lab: Path) -> Callable[..., list[int]]:
    """Asks for a sum and returns how often it was computed; each answer must be right."""

    def asked(*totals: int, package: str = PACKAGE) -> list[int]:
        computed: list[int] = []

        for total in totals:

            def find(total: int = total) -> Sum:
                computed.append(total)
                return Sum(total=total)

            assert remembered(Sum, package, f"sum {total}", find) == Sum(total=total)
        return computed

    return asked


Ask = Callable[..., list[int]]


def kept(lab: Path) -> Path:
    (file,) = (lab / "cache").iterdir()
    return file


def test_a_question_is_answered_once(ask: Ask) -> None:
    assert ask(7, 7, 9, 7, 9) == [7, 9]


def _newer_distribution(lab: Path) -> None:
    (lab / "site-packages" / "torch-9.dist-info").mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file of the package": lambda lab: (lab / "remembered_lab/rivers/task.py").write_text(
        "import  remembered_common"
    ),
    "what it imports": lambda lab: (lab / "remembered_common.py").write_text("WIDTH = 9"),
    "what it imports is gone": lambda lab: (lab / "remembered_common.py").unlink(),
    "a table": lambda lab: (lab / "remembered_lab/rivers/table.csv").write_text("1,2,3"),
    "another file": lambda lab: (lab / "remembered_lab/rivers/more.py").write_text(""),
    "another folder is looked into": lambda lab: sys.path.append(str(lab / "elsewhere")),
    "an installation": _newer_distribution,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_the_answer_asks_again(
    lab: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    (lab / "site-packages").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(lab / "site-packages")])
    assert ask(7, 7) == [7]
    change(lab)
    assert ask(7) == [7]


def test_a_text_of_equal_size_and_time_is_another_text(lab: Path, ask: Ask) -> None:
    file = lab / "remembered_common.py"
    time = file.stat().st_mtime_ns
    assert ask(7, 7) == [7]
    file.write_text("WIDTH = 9")
    os.utime(file, ns=(time, time))
    assert ask(7, 7) == [7]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-9],
        lambda content: content.replace(b"7", b"8"),
        lambda content: b"[" * 9999,
        lambda content: b"\xff" + content,
        lambda content: json.dumps({**json.loads(content), "sources": ["\0"]}).encode(),
        lambda content: json.dumps({**json.loads(content), "answer": "7"}).encode(),
    ],
)
def test_a_damaged_file_is_made_anew(lab: Path, ask: Ask, damage: Callable[[bytes], bytes]) -> None:
    ask(7)
    whole = kept(lab).read_bytes()
    kept(lab).write_bytes(damage(whole))
    assert ask(7, 7) == [7]
    assert kept(lab).read_bytes() == whole


@pytest.mark.parametrize("place", [os.devnull, "/proc/nowhere"])
def test_where_nothing_can_be_kept_the_answer_is_found_each_time(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("THALWEG_CACHE", place)
    assert ask(7, 7) == [7, 7]


def test_an_answer_about_a_file_that_changed_meanwhile_is_not_kept(
    lab: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BEGAN_NS", (lab / "remembered_common.py").stat().st_ctime_ns)
    assert ask(7, 7) == [7, 7]
    assert not (lab / "cache").exists()


def test_an_error_is_not_remembered(lab: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            remembered(Sum, PACKAGE, "sum", lambda: Sum(total=1 // 0))
    assert not (lab / "cache").exists()


def test_the_folder_is_that_of_the_users_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    for base, expected in {
        "": tmp_path / ".cache" / "thalweg",
        "relative": tmp_path / ".cache" / "thalweg",
        "/caches": Path("/caches/thalweg"),
    }.items():
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_folder() == expected
    monkeypatch.setenv("THALWEG_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_the_command_line_notes_when_it_began_before_it_imports_a_family() -> None:
    looks = "import sys, thalweg.cli.app; print('thalweg.disk.caches' in sys.modules, 'trainables' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
