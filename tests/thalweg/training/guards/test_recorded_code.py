"""Code that changes while a study runs: workers that start later see it before they import it."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from thalweg import discovery
from thalweg.errors import FamilyError
from thalweg.hashing import hash_of_code
from thalweg.lanes.channel import Command
from thalweg.lanes.worker import Crew
from thalweg.scaffold.new_family import write_family
from thalweg.training.guards.recorded_code import check_code, file_of, path_of
from thalweg.training.messages import Refusal, Report, TrialOrder
from thalweg.training.process_group import ProcessGroup

MODULES = ("slough/pond/__init__.py", "slough/pond/config.py", "slough/pond/task.py")


@pytest.fixture
def slough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``slough`` with the family ``pond``, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    write_family("pond", "slough")
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "slough"]:
        del sys.modules[module]


def recorded(folder: Path) -> dict[str, str]:
    found = {path: hash_of_code((folder / path).read_text()) for path in MODULES}
    return {path: known for path, known in found.items() if known}


def order(folder: Path) -> TrialOrder:
    family = discovery.load_family("slough.pond")
    (folder / "data" / "tiny").mkdir(parents=True)
    family.worlds["tiny"].make(folder / "data" / "tiny")
    return TrialOrder(
        trial="trial-0",
        family="slough.pond",
        config=family.preset("tiny").model_dump(mode="json"),
        metric="rmse",
        evaluations=(32, 64),
        data_root=str(folder / "data"),
        directory=str(folder / "checkpoints"),
        code=recorded(folder),
    )


def test_a_worker_goes_on_with_the_code_it_has_and_one_in_its_place_refuses_other_code(
    slough: Path, world: ProcessGroup
) -> None:
    asked, first = order(slough), Crew(world)
    assert isinstance(first.follow(Command(verb="advance", order=asked)), Report)
    task = slough / "slough/pond/task.py"
    task.write_text(f"{task.read_text()}\nRATE = 2\n")
    later = Command(verb="advance", order=asked, reached=32)
    assert isinstance(first.follow(later), Report), "its process keeps what it imported"
    answer = Crew(world).follow(later)
    assert isinstance(answer, Refusal)
    assert answer.kind == "study", "the trial is not at fault: it is interrupted"
    assert "1 module changed since the search began: slough/pond/task.py; put them back" in answer.reason
    assert answer.samples == 0
    told = Command(verb="advance", order=replace(asked, code=recorded(slough)), reached=32)
    assert isinstance(Crew(world).follow(told), Report)


def test_comments_are_no_change_and_a_module_that_is_gone_is_one(slough: Path) -> None:
    known = recorded(slough)
    task = slough / "slough/pond/task.py"
    task.write_text(f"# The pond.\n{task.read_text()}")
    check_code("slough.pond", known)
    (slough / "slough/pond/config.py").unlink()
    with pytest.raises(
        FamilyError, match=r"got 1 module changed since the search began: slough/pond/config\.py"
    ):
        check_code("slough.pond", known)


def test_code_outside_of_the_familys_package_is_not_what_workers_import(slough: Path) -> None:
    check_code("slough.pond", {"bog/spaces.py": "0123456789abcdef"})
    check_code("trainables.water_mae", {"search_spaces/mine.py": "0123456789abcdef"})


def test_names_of_modules_lead_to_their_files_and_back(slough: Path) -> None:
    discovery.load_family("slough.pond")
    task = file_of("slough.pond.task")
    assert task is not None and path_of("slough.pond.task", task) == "slough/pond/task.py"
    package = file_of("slough.pond")
    assert package is not None and path_of("slough.pond", package) == "slough/pond/__init__.py"
    assert file_of("slough.pond.nothing") is None
    assert file_of("math") is None, "compiled"
