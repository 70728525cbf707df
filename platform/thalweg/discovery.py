"""Finds families and search spaces by name; a folder or file that exists needs no registration.

A bare name stands for a folder in ``trainables/`` or a file in ``search_spaces/``, where ``lakes_depth`` is
``lakes_depth.py`` or ``lakes/depth.py``; folders of these names in the working directory count as well. A dotted name
(``my_lab.spaces.rivers``) stands for any module that can be imported, the working directory included. A family may also
be a package at the top, whose name has no dot. Listing imports nothing; loading imports the one module that was named.
"""

import difflib
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import ValidationError

from thalweg.config import FamilyConfig, explain
from thalweg.contract import Task
from thalweg.dataset_contract import Explore, Export, PublicDataset, SyntheticDataset
from thalweg.errors import DiscoveryError, SpaceError, ThalwegError, nothing

Room = Literal["trainables", "search_spaces"]
_PYTHONS = sys.stdlib_module_names | {"test"}
"""Names of Python's own modules; its list leaves out ``test``."""
ROOMS: tuple[Room, ...] = ("trainables", "search_spaces")
_OTHERS = ("data", "thalweg_runs", "mlruns", "mlartifacts", "tests")
"""Folders beside one's own packages that hold none of them, and may hold very many files."""
_SPACE = re.compile(r"^study\b[^=\n]*= *Study\(", re.MULTILINE)
_DEPTH = 3


def names(room: Room) -> tuple[str, ...]:
    """Returns the names of all families or all search spaces, sorted, without importing them.

    Those of one's own packages are left out; see `own_families` and `own_spaces`.
    """
    look_here()
    if room == "search_spaces":
        return tuple(sorted(_spaces()))
    return tuple(sorted(module.name for module in _modules(_places(room)) if module.ispkg))


def own_families() -> tuple[str, ...]:
    """Returns the dotted names of the families in packages of the working directory, sorted, without importing them."""
    return tuple(sorted(name for name, folder in _own_folders() if _is_family(folder)))


def own_spaces() -> tuple[str, ...]:
    """Returns the dotted names of the search spaces in packages of the working directory, sorted; imports none."""
    return tuple(
        sorted(
            f"{name}.{file.stem}"
            for name, folder in _own_folders()
            for file in folder.glob("[!_]*.py")
            if file.stem.isidentifier() and _is_space(file)
        )
    )


def _is_space(file: Path) -> bool:
    with suppress(PermissionError):  # a file of somebody else
        return bool(_SPACE.search(file.read_text(encoding="utf-8", errors="replace")))
    return False


def _own_folders() -> Iterator[tuple[str, Path]]:
    """Yields dotted name and path of what may be one's own packages, three deep."""
    found = [
        (folder.name, folder)
        for folder in _folders(Path.cwd())
        if folder.name not in (*ROOMS, *_OTHERS) and folder.name not in _PYTHONS
    ]
    for _ in range(_DEPTH):
        yield from found
        found = [(f"{name}.{inner.name}", inner) for name, folder in found for inner in _folders(folder)]


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(PermissionError):  # a folder of somebody else
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.isidentifier() and not entry.name.startswith("_") and entry.is_dir():
                yield Path(entry.path)


def _is_family(folder: Path) -> bool:
    return all((folder / f"{part}.py").is_file() for part in ("config", "task", "datasets"))


def space_name(module: str) -> str:
    """Returns the name of the search space in a module.

    ``lakes_depth`` for both ``search_spaces.lakes.depth`` and ``search_spaces.lakes_depth``, which older studies
    record; the dotted name for a module outside ``search_spaces``.
    """
    room, dot, rest = module.partition(".")
    return rest.replace(".", "_") if room == "search_spaces" and dot else module


def rewritten_spaces() -> Mapping[str, str]:
    """Returns the fingerprint of each earlier text of a search space, with that of its equivalent current text."""
    same: Mapping[str, str] = importlib.import_module("search_spaces._earlier").SAME
    return same


def _places(room: Room) -> list[str]:
    return list(importlib.import_module(room).__path__)


def _modules(places: Iterable[str]) -> list[pkgutil.ModuleInfo]:
    return [module for module in pkgutil.iter_modules(places) if not module.name.startswith("_")]


def _spaces() -> Mapping[str, list[str]]:
    """Returns the modules that each name of a search space could mean; only one is allowed."""
    places = _places("search_spaces")
    found = [module.name for module in _modules(places) if not module.ispkg]
    for place in places:
        for folder in sorted(os.scandir(place), key=lambda entry: entry.name) if os.path.isdir(place) else ():
            if folder.is_dir() and folder.name.isidentifier() and not folder.name.startswith("_"):
                inside = _modules([folder.path])
                found += [f"{folder.name}.{module.name}" for module in inside if not module.ispkg]
    modules: dict[str, list[str]] = {}
    for name in dict.fromkeys(found):
        modules.setdefault(name.replace(".", "_"), []).append(f"search_spaces.{name}")
    return modules


def load_module(room: Room, name: str) -> ModuleType:
    """Imports a family's package or a search space.

    Raises:
        DiscoveryError: There is no such module, or a family cannot be imported.
        SpaceError: The search space exists and raises while it is imported.
    """
    if name.endswith(".py") or "/" in name:
        dotted = space_name(name.removesuffix(".py").strip("./").replace("/", "."))
        raise DiscoveryError(
            f"a module is named with dots and without its suffix, got {name!r}; try {dotted!r}"
        )
    look_here()
    if room == "search_spaces" and "." not in space_name(name):
        return _import(room, _module_of_space(space_name(name)), name)
    if "." in name or (room == "trainables" and _is_family_at_the_top(name)):
        check_own(name)
        return _import(room, name, name)
    return _import(room, f"{room}.{name}", name)


def room_of(name: str, kind: Literal["family", "space"] | None = None) -> Room:
    """Returns whether a name stands for a family or a search space.

    Args:
        name: A bare or a dotted name.
        kind: Which of both is meant; None looks.

    Raises:
        DiscoveryError: There is one of each, and ``kind`` is None, or neither.
    """
    if kind is not None:
        return "trainables" if kind == "family" else "search_spaces"
    look_here()
    is_family = name in names("trainables") or _is_family_at_the_top(name) or _is_own_package(name)
    is_space = space_name(name) in _spaces() or (name.endswith(".py") or ("." in name and not is_family))
    if is_family and is_space:
        raise DiscoveryError(
            f"a name must mean one thing, got {name!r}, which is a family and a search space; add --as family or "
            "--as space"
        )
    if not (is_family or is_space or "." in name):
        known = [*names("search_spaces"), *own_spaces(), *names("trainables"), *own_families()]
        raise DiscoveryError(
            nothing(f"search space or family {name!r}", "search_spaces/ or trainables/", name, known)
        )
    return "search_spaces" if is_space else "trainables"


def _is_own_package(name: str) -> bool:
    """Returns whether a dotted name stands for a package with a configuration, which is imported for that."""
    if "." not in name or name.endswith(".py") or "/" in name:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False  # told when it is loaded
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    return any(os.path.isfile(os.path.join(place, "config.py")) for place in places)


def _module_of_space(name: str) -> str:
    """Returns the module that a bare name of a search space stands for.

    Raises:
        DiscoveryError: There is none, or more than one.
    """
    modules = _spaces().get(name, [])
    if len(modules) > 1:
        raise DiscoveryError(
            f"a search space's name must stand for one file, got {name!r} for {' and '.join(modules)}; rename one"
        )
    if not modules:
        raise DiscoveryError(_missing("search_spaces", f"search_spaces.{name}", name))
    return modules[0]


def _is_family_at_the_top(name: str) -> bool:
    if name in names("trainables") or not name.isidentifier():
        return False
    spec = importlib.util.find_spec(name)
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    return _is_own_family(name) or any(os.path.isfile(os.path.join(place, "config.py")) for place in places)


def _is_own_family(name: str) -> bool:
    return os.path.isfile(os.path.join(name, "config.py"))


def check_own(name: str) -> None:
    """Refuses a name of Python's own modules: which one is meant would depend on what was imported first.

    Raises:
        DiscoveryError: The first part of a dotted name is a module of Python.
    """
    top = name.partition(".")[0]
    if top in _PYTHONS:
        raise DiscoveryError(
            f"a family or search space must lie in a folder that no module of Python's is named like, got {top!r}; "
            f"rename the folder, for instance lab_{top}"
        )


@dataclass(frozen=True)
class Family:
    """A model family; its parts are imported when they are asked for.

    Attributes:
        name: Folder name in ``trainables/``, or the whole dotted name of a family from elsewhere.
        package: Dotted name of the package.
        config_type: The family's configuration.
        presets: Named configurations.
    """

    name: str
    package: str
    config_type: type[FamilyConfig]
    presets: Mapping[str, FamilyConfig]

    @cached_property
    def worlds(self) -> Mapping[str, SyntheticDataset]:
        """Synthetic data sets by name."""
        worlds: Mapping[str, SyntheticDataset] = self._part("datasets").WORLDS
        return worlds

    @cached_property
    def sources(self) -> Mapping[str, PublicDataset]:
        """Public data sets that can be imported, by name."""
        sources: Mapping[str, PublicDataset] = self._part("datasets").SOURCES
        return sources

    def task(self, config: FamilyConfig) -> Task[Any, Any]:
        """Returns the task of a configuration; the first call imports torch.

        Raises:
            DiscoveryError: ``task.py`` holds neither ``task_for`` nor one task for the family's configuration.
        """
        return self._make_task(config)

    @cached_property
    def _make_task(self) -> Callable[[FamilyConfig], Task[Any, Any]]:
        module = self._part("task")
        chosen: Callable[[FamilyConfig], Task[Any, Any]] | None = vars(module).get("task_for")
        if chosen is not None:
            return chosen
        found = [
            task for task in _classes(module, Task) if getattr(task, "config_type", None) is self.config_type
        ]
        if len(found) != 1:
            raise DiscoveryError(
                f"{self.package}.task must define task_for, or one subclass of Task whose config_type is "
                f"{self.config_type.__name__}, got {len(found)}"
            )
        return found[0]

    @cached_property
    def explore(self) -> Explore | None:
        """The function that explores a data set; None if the family has none."""
        explore: Explore | None = self._optional("explore", "explore")
        return explore

    @cached_property
    def export_fiftyone(self) -> Export | None:
        """The function that exports a data set to FiftyOne; None if the family has none."""
        export: Export | None = self._optional("explore", "export_fiftyone")
        return export

    def preset(self, name: str) -> FamilyConfig:
        """Returns a named configuration.

        Raises:
            DiscoveryError: The family has no such preset.
        """
        if name not in self.presets:
            raise DiscoveryError(nothing(f"preset {name!r}", self.name, name, self.presets))
        return self.presets[name]

    def _optional(self, part: str, name: str) -> Any:
        if importlib.util.find_spec(f"{self.package}.{part}") is None:
            return None
        return getattr(self._part(part), name, None)

    def _part(self, part: str) -> ModuleType:
        return _import("trainables", f"{self.package}.{part}", f"{self.package}.{part}")


def load_family(family: str | type[FamilyConfig]) -> Family:
    """Loads a family by its name or by its configuration.

    Raises:
        DiscoveryError: There is no such family, or its ``config.py`` does not hold exactly one configuration.
    """
    package = load_module("trainables", family).__name__ if isinstance(family, str) else _package_of(family)
    config = _import("trainables", f"{package}.config", f"{package}.config")
    found = _classes(config, FamilyConfig)
    if len(found) != 1:
        raise DiscoveryError(
            f"{package}.config must define one subclass of FamilyConfig, "
            f"got {', '.join(sorted(kind.__name__ for kind in found)) or 'none'}"
        )
    return Family(
        name=package.removeprefix("trainables."),
        package=package,
        config_type=found[0],
        presets=dict(getattr(config, "PRESETS", {})),
    )


def _package_of(config_type: type[FamilyConfig]) -> str:
    """Returns the package of a configuration.

    Raises:
        DiscoveryError: It is in no package, or in one whose name stands for something else.
    """
    package = config_type.__module__.rpartition(".")[0]
    if not package:
        raise DiscoveryError(
            f"a family's configuration must lie in config.py of a package, got {config_type.__name__} in "
            f"{config_type.__module__}.py; move it to FAMILY/config.py, beside its task.py"
        )
    if package in names("trainables"):
        raise DiscoveryError(
            f"a family at the top must not be named like one in trainables/, got {package!r}; "
            f"rename its folder, or move it into another: lab.{package}"
        )
    check_own(package)
    return package


def blame(error: BaseException, file: str) -> str:
    """Returns the line of ``file`` that an exception comes from, and its message, as one line of text."""
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == file:
        line = error.lineno
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == file:
            line = frame.lineno
    text = explain(error) if isinstance(error, ValidationError) else str(error)
    kind = "" if isinstance(error, ThalwegError | ValidationError) else f"{type(error).__name__}: "
    return f"{file}{'' if line is None else f':{line}'}: {kind}{' '.join(text.split())}"


def _import(room: Room, target: str, name: str) -> ModuleType:
    look_here()
    try:
        _join_folders(target)
        return importlib.import_module(target)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{target}.".startswith(f"{error.name}."):
            raise _broken(room, target, error) from error
        raise DiscoveryError(_missing(room, target, name)) from None
    except Exception as error:
        raise _broken(room, target, error) from error


def look_here() -> None:
    """Lets modules of the working directory be found: its packages, and those of its ``trainables`` and the like."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    for room in ROOMS:
        _join(importlib.import_module(room), os.path.join(here, room), first=True)


def _join(package: ModuleType, folder: str, *, first: bool = False) -> None:
    """Lets the modules of a folder be found in a package, before its own ones or after them."""
    known = {os.path.realpath(place) for place in package.__path__}
    if os.path.isdir(folder) and os.path.realpath(folder) not in known:
        package.__path__ = [folder, *package.__path__] if first else [*package.__path__, folder]


def _join_folders(target: str) -> None:
    """Joins the folders of one name, for ``search_spaces.lakes.depth``: those of the house and of the user."""
    room, _, rest = target.partition(".")
    folder, dot, _ = rest.partition(".")
    if room == "search_spaces" and dot and importlib.util.find_spec(f"{room}.{folder}"):
        package = importlib.import_module(f"{room}.{folder}")
        for place in _places("search_spaces"):
            _join(package, os.path.join(place, folder))


def _elsewhere(name: str) -> str:
    """Says where the module lies that hides a folder of this name in the working directory; empty if none does."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if not os.path.isdir(top) or file is None or os.path.realpath(file).startswith(os.path.realpath(top)):
        return ""
    return f"; the folder {top}/ here is hidden by {file}: rename it, for instance lab_{top}"


def _beside(name: str) -> str:
    """Says which modules lie in the folder of one that is not there; empty if none does."""
    folder, _, module = name.rpartition(".")
    found = sorted(path.stem for path in Path(*folder.split(".")).glob("*.py") if path.stem.isidentifier())
    known = [f"{folder}.{stem}" for stem in found if stem != "__init__"]
    close = difflib.get_close_matches(module, found, n=1)
    hint = f"; did you mean {folder}.{close[0]}?" if close else ""
    return f"{hint} (found: {', '.join(known)})" if known else ""


def _missing(room: Room, target: str, name: str) -> str:
    if "." in name:
        asked_as = name.replace(".", "_")
        hidden = f"; did you mean {asked_as!r}?" if asked_as in names(room) else _elsewhere(name)
        hidden = hidden or (_beside(name) if room == "search_spaces" else "")
        hidden = hidden or "; run where its package lies"
        return f"a dotted name must be importable from here, got {target!r}{hidden}"
    what = "family" if room == "trainables" else "search space"
    if other := _of_the_other_room(room, name):
        return f"no {what} {name!r} in {room}/, for {other}"
    own = own_families() if room == "trainables" else own_spaces()
    missing = nothing(f"{what} {name!r}", f"{room}/", name, [*names(room), *own])
    if os.path.exists(f"{name}.py"):
        return f"{missing}; the file {name}.py here is found inside a folder: mkdir lab, then lab.{name}"
    return missing


def _of_the_other_room(room: Room, name: str) -> str:
    """Says that a name is one of the other room, and what can be done with it; empty if it is not."""
    if room == "trainables" and name in names("search_spaces"):
        return (
            f"that is a search space; `thalweg search {name}` searches it, `thalweg families` lists families"
        )
    if room == "search_spaces" and (name in names("trainables") or _is_own_family(name)):
        return (
            f"that is a family; `thalweg train {name} --preset NAME --samples N` trains it, `thalweg spaces` lists "
            "what searches it"
        )
    return ""


def _broken(room: Room, target: str, error: Exception) -> ThalwegError:
    file = _file(target, error)
    hidden = _elsewhere(error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if room == "search_spaces":
        if isinstance(error, ImportError) and (error.name or "").startswith("thalweg.search."):
            hidden = (
                "; import Study and Trial from thalweg.study, by which a space stays the same for its studies"
            )
        return SpaceError(f"a search space must be importable, got {blame(error, file)}{hidden}")
    return DiscoveryError(f"a family must be importable, got {blame(error, file)}{hidden}")


def _file(target: str, error: Exception) -> str:
    """Finds the file of a module that could not be imported: the last one on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename
    ending = target.rpartition(".")[2]
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = [file for file in frames if os.path.basename(file) in (f"{ending}.py", "__init__.py")]
    return own[-1] if own else target


def _classes(module: ModuleType, base: type[Any]) -> list[type[Any]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
