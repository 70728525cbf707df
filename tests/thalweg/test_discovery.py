"""Finding spaces and families by name: what is there, what is not, and what is broken."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import search_spaces
from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.errors import DiscoveryError, SpaceError

METHODS = "".join(
    f"    def {name}(self, *given): ...\n"
    for name in (
        "data_key",
        "open",
        "training_batch",
        "evaluation_batch",
        "build",
        "stages",
        "measures",
        "protocol",
    )
)
"""All that a task must define, and nothing in it."""


def indented(lines: str) -> str:
    """Lines as those of a class in the texts below are indented."""
    return textwrap.indent(lines, " " * 8)[8:]  # after the blanks before closing quotes


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Writes modules of an importable package ``workbench`` in the working directory."""
    folder = tmp_path / "workbench"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def write(name: str, text: str) -> Path:
        file = folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    write("__init__", "")
    yield write
    for module in [name for name in sys.modules if name.partition(".")[0] == "workbench"]:
        del sys.modules[module]


def write_family(write: Callable[[str, str], Path]) -> None:
    write(
        "pond/config",
        """
        from thalweg.config import FamilyConfig
        class Pond(FamilyConfig):
            depth: int = 1
        PRESETS = {"tiny": Pond(dataset="none"), "deep": Pond(dataset="none", depth=9)}
        """,
    )
    write("pond/__init__", "")
    write("pond/datasets", "WORLDS = {}\nSOURCES = {}\n")
    write(
        "pond/task",
        """
        from thalweg.contract import Task
        from workbench.pond.config import Pond
        class PondTask(Task):
            config_type = Pond
        """
        + indented(METHODS),
    )


def test_listing_spaces_imports_none_of_them() -> None:
    code = (
        "import sys; from thalweg import discovery; discovery.names('search_spaces');"
        "discovery.names('trainables');"
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_a_space_needs_neither_torch_nor_ray_nor_optuna(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    lab(
        "wide",
        """
        from thalweg.study import Study, Trial
        from workbench.pond.config import Pond
        study = Study(metric="loss", mode="min", samples=8)
        def space(trial: Trial) -> Pond:
            return Pond(dataset="none")
        """,
    )
    code = (
        "import sys; from thalweg.search.space import load_space; load_space('workbench.wide');"
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_space_is_named_with_the_closest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "names", lambda room: ("quickstart", "water_mae_gb"))
    with pytest.raises(DiscoveryError, match=r"no search space 'quikstart'.*did you mean 'quickstart'"):
        discovery.load_module("search_spaces", "quikstart")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A room of search spaces that is empty but for the one of a family's folder."""
    folder = tmp_path / "room"
    (folder / "lakes").mkdir(parents=True)
    (folder / "lakes/__init__.py").touch()
    (folder / "lakes/depth.py").write_text("answer = 42")
    monkeypatch.setattr(search_spaces, "__path__", [str(folder)])
    monkeypatch.chdir(tmp_path)  # away from the spaces of the house
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]
        if name.startswith("search_spaces."):
            vars(search_spaces).pop(name.split(".")[1], None)


def test_spaces_are_files_and_files_in_folders_of_families(room: Path) -> None:
    for name in ("first.py", "_hidden.py", "notes.txt", "lakes/_hidden.py", "lakes/width.py"):
        (room / name).touch()
    for name in ("bare", "__pycache__", ".git", "not-a-name", "lakes/deeper"):
        (room / name).mkdir()
        (room / name / "found.py").touch()
    assert discovery.names("search_spaces") == ("bare_found", "first", "lakes_depth", "lakes_width")


@pytest.mark.parametrize("name", ["lakes_depth", "search_spaces.lakes_depth", "search_spaces.lakes.depth"])
def test_a_space_in_a_folder_is_found_by_its_name_and_by_those_of_its_module(room: Path, name: str) -> None:
    assert discovery.load_module("search_spaces", name).__name__ == "search_spaces.lakes.depth"


def test_a_space_that_is_not_found_is_told_the_one_in_a_folder(room: Path) -> None:
    for name in ("lakes_dept", "search_spaces.lakes_dept", "lakes_deep"):
        with pytest.raises(DiscoveryError, match="did you mean 'lakes_depth'"):
            discovery.load_module("search_spaces", name)
    with pytest.raises(DiscoveryError, match=r"got 'lakes\.depth'; did you mean 'lakes_depth'\?"):
        discovery.load_module("search_spaces", "lakes.depth")
    (room / "lakes/old_depth.py").touch()
    with pytest.raises(DiscoveryError, match=r"'depth'.*mean 'lakes_depth' or 'lakes_old_depth'\?"):
        discovery.load_module("search_spaces", "depth")
    for file in ("search_spaces/lakes/depth.py", "./search_spaces/lakes/depth"):
        with pytest.raises(DiscoveryError, match=f"got '{file}'; try 'lakes_depth'"):
            discovery.load_module("search_spaces", file)


@pytest.mark.parametrize("name", ["lakes", "_hidden", "search_spaces._hidden"])
def test_neither_a_folder_nor_a_hidden_file_is_a_space(room: Path, name: str) -> None:
    (room / "_hidden.py").touch()
    with pytest.raises(
        DiscoveryError, match=r"no search space '.*' in search_spaces/.*\(found: lakes_depth\)"
    ):
        discovery.load_module("search_spaces", name)


def test_a_name_that_stands_for_two_files_is_refused_with_both(room: Path) -> None:
    (room / "lakes_depth.py").touch()
    law = (
        "one file, got 'lakes_depth' for search_spaces.lakes_depth and search_spaces.lakes.depth; rename one"
    )
    with pytest.raises(DiscoveryError, match=law):
        discovery.load_module("search_spaces", "lakes_depth")
    assert discovery.names("search_spaces") == ("lakes_depth",)


def test_a_broken_space_in_a_folder_is_blamed_with_its_line(room: Path) -> None:
    file = room / "lakes/broken.py"
    file.write_text("\nimport a_package_that_is_not_there\n")
    with pytest.raises(SpaceError, match=rf"{file}:2: ModuleNotFoundError.*a_package_that_is_not_there"):
        discovery.load_module("search_spaces", "lakes_broken")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("search_spaces.quickstart", "quickstart"),
        ("search_spaces.water_mae_masking", "water_mae_masking"),
        ("search_spaces.water_mae.masking", "water_mae_masking"),
        ("my_lab.spaces.x", "my_lab.spaces.x"),
        ("search_spaces", "search_spaces"),
    ],
)
def test_a_module_has_the_name_under_which_its_space_is_asked_for(module: str, name: str) -> None:
    assert discovery.space_name(module) == name


def test_a_file_beside_the_user_is_told_the_way_to_be_found(
    lab: Callable[[str, str], Path], tmp_path: Path
) -> None:
    (tmp_path / "rivers.py").write_text("")
    with pytest.raises(DiscoveryError, match=r"no search space 'rivers'.*mkdir lab, then lab\.rivers"):
        discovery.load_module("search_spaces", "rivers")


def test_a_name_of_the_other_room_is_told_what_it_is() -> None:
    with pytest.raises(
        DiscoveryError, match=r"'water_mae' .*that is a family; `thalweg train water_mae --preset"
    ):
        discovery.load_module("search_spaces", "water_mae")
    with pytest.raises(
        DiscoveryError, match=r"'quickstart' .*that is a search space; `thalweg search quicks"
    ):
        discovery.load_family("quickstart")


def test_an_own_family_beside_the_user_is_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marsh").mkdir()
    (tmp_path / "marsh" / "config.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DiscoveryError, match=r"no search space 'marsh' .*that is a family"):
        discovery.load_module("search_spaces", "marsh")


def test_an_unknown_family_is_refused_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "names", lambda room: ("water_mae",))
    with pytest.raises(DiscoveryError, match=r"no family 'zzz' in trainables/ \(found: water_mae\)"):
        discovery.load_family("zzz")


@pytest.mark.parametrize(
    ("name", "module"),
    [("mine.py", "mine"), ("my_lab/spaces.py", "my_lab.spaces"), ("./my_lab/rain", "my_lab.rain")],
)
def test_a_file_name_is_answered_with_the_module_name(name: str, module: str) -> None:
    with pytest.raises(DiscoveryError, match=f"without its suffix, got '{name}'; try '{module}'"):
        discovery.load_module("search_spaces", name)


def test_a_dotted_name_that_does_not_exist_is_a_discovery_error(lab: Callable[[str, str], Path]) -> None:
    with pytest.raises(DiscoveryError, match=r"workbench.nothing"):
        discovery.load_module("search_spaces", "workbench.nothing")


def test_a_misspelt_dotted_space_names_those_beside_it(lab: Callable[[str, str], Path]) -> None:
    lab("rivers", "")
    lab("lakes", "")
    found = (
        r"'workbench.rivrs'; did you mean workbench.rivers\? \(found: workbench.lakes, workbench.rivers\)$"
    )
    with pytest.raises(DiscoveryError, match=found):
        discovery.load_module("search_spaces", "workbench.rivrs")


def test_a_dotted_name_is_found_in_the_working_directory(lab: Callable[[str, str], Path]) -> None:
    file = lab("here", "answer = 42\n")
    assert discovery.load_module("search_spaces", "workbench.here").__file__ == str(file)


def test_a_space_whose_import_is_missing_is_broken_and_not_missing(lab: Callable[[str, str], Path]) -> None:
    file = lab("broken", "\nimport a_package_that_is_not_there\n")
    with pytest.raises(SpaceError, match=rf"{file}:2: ModuleNotFoundError.*a_package_that_is_not_there"):
        discovery.load_module("search_spaces", "workbench.broken")


def test_a_space_that_raises_is_blamed_with_its_line(lab: Callable[[str, str], Path]) -> None:
    file = lab("raises", "x = 1\ny = x / 0\n")
    with pytest.raises(SpaceError, match=rf"{file}:2: ZeroDivisionError: division by zero"):
        discovery.load_module("search_spaces", "workbench.raises")


def test_a_space_with_a_syntax_error_is_blamed_with_its_line(lab: Callable[[str, str], Path]) -> None:
    file = lab("typo", "x = 1\ndef space(:\n")
    with pytest.raises(SpaceError, match=rf"{file}:2: SyntaxError"):
        discovery.load_module("search_spaces", "workbench.typo")


def test_a_family_is_found_from_its_configuration(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    by_name = discovery.load_family("workbench.pond")
    by_type = discovery.load_family(by_name.config_type)
    assert by_type == by_name
    assert by_name.name == by_name.package == "workbench.pond"


def test_a_family_gives_its_task_and_its_data_sets(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    family = discovery.load_family("workbench.pond")
    assert type(family.task(family.preset("deep"))).__name__ == "PondTask"
    assert family.worlds == {}
    assert family.sources == {}


def test_an_unknown_preset_is_answered_with_the_closest_one(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    family = discovery.load_family("workbench.pond")
    assert family.preset("deep").model_dump()["depth"] == 9
    with pytest.raises(DiscoveryError, match=r"no preset 'deeep' in workbench.pond; did you mean 'deep'"):
        family.preset("deeep")


def test_a_family_with_two_configurations_is_refused(lab: Callable[[str, str], Path]) -> None:
    lab("pond/__init__", "")
    lab(
        "pond/config",
        """
        from thalweg.config import FamilyConfig
        class A(FamilyConfig): ...
        class B(FamilyConfig): ...
        """,
    )
    with pytest.raises(DiscoveryError, match="one subclass of FamilyConfig, got A, B"):
        discovery.load_family("workbench.pond")


def test_a_task_for_another_configuration_is_not_the_familys(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    lab("pond/task", "from thalweg.contract import Task\nclass Other(Task): ...\n")
    with pytest.raises(DiscoveryError, match="one subclass of Task whose config_type is Pond, got 0"):
        family = discovery.load_family("workbench.pond")
        family.task(family.preset("deep"))


def test_a_family_may_choose_among_tasks(lab: Callable[[str, str], Path]) -> None:
    write_family(lab)
    lab(
        "pond/task",
        """
        from thalweg.contract import Task
        class Shallow(Task):
        """
        + indented(METHODS)
        + """
        class Deep(Shallow): ...
        def task_for(config):
            return (Deep if config.depth > 5 else Shallow)(config)
        """,
    )
    family = discovery.load_family("workbench.pond")
    tasks = [family.task(config) for config in (family.preset("deep"), family.config_type(dataset="none"))]
    assert [type(task).__name__ for task in tasks] == ["Deep", "Shallow"]
    assert tasks[0].config == family.preset("deep")


@pytest.mark.parametrize("name", discovery.names("trainables"))
def test_every_family_in_the_house_can_be_loaded(name: str) -> None:
    family = discovery.load_family(name)
    assert issubclass(family.config_type, FamilyConfig)
    assert all(isinstance(preset, family.config_type) for preset in family.presets.values())


@pytest.fixture
def brook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Writes a lab's family into a package at the top of the working directory, with a space beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    folder = tmp_path / "brook"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "datasets.py").write_text("WORLDS = {}\nSOURCES = {}\n")
    (folder / "config.py").write_text(
        "from thalweg.config import FamilyConfig\n"
        "class Brook(FamilyConfig):\n    depth: int = 1\n"
        "PRESETS = {'tiny': Brook(dataset='none')}\n"
    )
    (folder / "task.py").write_text(
        "from brook.config import Brook\nfrom thalweg.contract import Task\n"
        f"class BrookTask(Task):\n    config_type = Brook\n{METHODS}"
    )
    yield "brook"
    for module in [name for name in sys.modules if name.partition(".")[0] == "brook"]:
        del sys.modules[module]


def test_a_family_may_be_a_package_at_the_top(brook: str) -> None:
    family = discovery.load_family(brook)
    assert (family.name, family.package, set(family.presets)) == ("brook", "brook", {"tiny"})
    assert type(discovery.load_family(family.config_type).task(family.preset("tiny"))).__name__ == "BrookTask"
    # As a worker finds it, which knows the package's name and no more.
    again = discovery.load_family(discovery.load_family(family.config_type).package)
    assert again.config_type is family.config_type


def test_a_family_at_the_top_must_not_hide_behind_one_of_the_house(brook: str) -> None:
    config_type = type("Rivers", (FamilyConfig,), {"__module__": "water_mae.config"})
    with pytest.raises(
        DiscoveryError, match=r"not be named like one in trainables/, got 'water_mae'; .*lab.water_mae"
    ):
        discovery.load_family(config_type)


def test_a_configuration_in_no_package_is_told_the_way() -> None:
    config_type = type("Rivers", (FamilyConfig,), {"__module__": "rivers"})
    with pytest.raises(DiscoveryError, match=r"config.py of a package, got Rivers in rivers.py; move it to"):
        discovery.load_family(config_type)


@pytest.mark.parametrize("name", ["code", "test"])
def test_a_folder_named_like_a_module_of_pythons_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.py").touch()
    law = rf"no module of Python's is named like, got '{name}'; rename the folder, for instance lab_{name}"
    with pytest.raises(DiscoveryError, match=law):
        discovery.load_module("search_spaces", f"{name}.rivers")
    with pytest.raises(DiscoveryError, match=law):
        discovery.load_family(name)
    with pytest.raises(DiscoveryError, match=law):
        discovery.load_family(type("Rivers", (FamilyConfig,), {"__module__": f"{name}.config"}))


def test_a_folder_that_an_installed_package_hides_is_told_where_that_lies(
    lab: Callable[[str, str], Path], tmp_path: Path
) -> None:
    (tmp_path / "pytest").mkdir()
    (tmp_path / "pytest" / "rivers.py").touch()
    lab("lakes", "from pytest.rivers import Rivers\n")
    hidden = rf"the folder pytest/ here is hidden by {pytest.__file__}: rename it, for instance lab_pytest"
    with pytest.raises(DiscoveryError, match=hidden):
        discovery.load_module("search_spaces", "pytest.rivers")
    with pytest.raises(SpaceError, match=hidden):
        discovery.load_module("search_spaces", "workbench.lakes")


SPACE = """
    from thalweg.study import Study, Trial
    from trainables.water_mae.config import PRESETS, WaterMAE
    study = Study(metric="skill", mode="max", samples=8)
    def space(trial: Trial) -> WaterMAE:
        return PRESETS["tiny"]
"""


@pytest.fixture
def own_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a folder ``search_spaces`` beside that of the house, as where a wheel is installed."""
    before = set(sys.modules)
    monkeypatch.setattr(search_spaces, "__path__", list(search_spaces.__path__))
    (tmp_path / "search_spaces/water_mae").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "search_spaces"
    import search_spaces.water_mae as shared

    shared.__path__ = [place for place in shared.__path__ if str(tmp_path) not in place]
    for name in set(sys.modules) - before:
        if name.startswith("search_spaces."):
            del sys.modules[name]
            vars(search_spaces).pop(name.split(".")[1], None)


@pytest.mark.parametrize("file", ["marsh.py", "water_mae/marsh.py", "quickstart.py"])
def test_a_users_own_folder_of_spaces_is_not_hidden_by_that_of_the_house(own_room: Path, file: str) -> None:
    for name in [name for name in sys.modules if name.startswith("search_spaces.quick")]:
        del sys.modules[name]
    (own_room / file).write_text(textwrap.dedent(SPACE))
    name = file.removesuffix(".py").replace("/", "_")
    assert name in discovery.names("search_spaces")
    assert discovery.load_module("search_spaces", name).__file__ == str(own_room / file)
    assert discovery.load_module("search_spaces", "water_mae_masking").__name__.endswith("water_mae.masking")


def test_own_families_and_spaces_are_found_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("fen/pond", "fen/wet/bog", "tarn", "tests/mire", "data/mere", "fen/half", ".hidden/pond"):
        (tmp_path / folder).mkdir(parents=True)
        for part in ("config", "task", "datasets"):
            (tmp_path / folder / f"{part}.py").write_text("raise RuntimeError\n")
    (tmp_path / "fen/half/task.py").unlink()
    (tmp_path / "fen/depth.py").write_text("raise RuntimeError\nstudy: Study = Study(metric='x')\n")
    (tmp_path / "fen/notes.py").write_text("# study = Study(\n")
    assert discovery.own_families() == ("fen.pond", "fen.wet.bog", "tarn")
    assert discovery.own_spaces() == ("fen.depth",)
    with pytest.raises(DiscoveryError, match=r"no family 'pond' .*did you mean 'fen\.pond'\?"):
        discovery.load_family("pond")
    with pytest.raises(DiscoveryError, match=r"no search space 'depth' .*did you mean .*'fen\.depth'"):
        discovery.load_module("search_spaces", "depth")
