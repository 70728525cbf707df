"""Finds families and search spaces by their names: a folder or file that exists is registered.

A bare name stands for a folder in ``trainables/`` or a file in ``search_spaces/``; a dotted name
(``my_lab.spaces.rivers``) for any module that can be imported, the working directory included. Listing
imports nothing; loading imports the one module that was named.
"""

import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

from pydantic import ValidationError

from thalweg.config import FamilyConfig, explain
from thalweg.contract import Explore, Export, Source, Task, World
from thalweg.errors import DiscoveryError, SpaceError, ThalwegError

Room = Literal["trainables", "search_spaces"]


def names(room: Room) -> tuple[str, ...]:
    """Returns what a room holds, sorted, without importing it: folders of families or files of spaces."""
    package = importlib.import_module(room)
    return tuple(
        sorted(
            module.name
            for module in pkgutil.iter_modules(package.__path__)
            if module.ispkg == (room == "trainables") and not module.name.startswith("_")
        )
    )


def load_module(room: Room, name: str) -> ModuleType:
    """Imports a family's package or a search space.

    Raises:
        DiscoveryError: There is no such module, or a family cannot be imported.
        SpaceError: The search space exists and raises while it is imported.
    """
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise DiscoveryError(
            f"a module is named with dots and without its suffix, got {name!r}; try {dotted!r}"
        )
    return _import(room, name if "." in name else f"{room}.{name}", name)


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
    def worlds(self) -> Mapping[str, World]:
        """Synthetic data sets by name."""
        worlds: Mapping[str, World] = self._part("datasets").WORLDS
        return worlds

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Public data sets that can be imported, by name."""
        sources: Mapping[str, Source] = self._part("datasets").SOURCES
        return sources

    @cached_property
    def task_type(self) -> type[Task[Any, Any]]:
        """The family's task; importing it imports torch.

        Raises:
            DiscoveryError: ``task.py`` holds no task for the family's configuration.
        """
        found = [
            task
            for task in _classes(self._part("task"), Task)
            if getattr(task, "config_type", None) is self.config_type
        ]
        if len(found) != 1:
            raise DiscoveryError(
                f"{self.package}.task must define one subclass of Task whose config_type is "
                f"{self.config_type.__name__}, got {len(found)}"
            )
        return found[0]

    @cached_property
    def explore(self) -> Explore | None:
        """What shows a data set; None where the family has no such thing."""
        explore: Explore | None = self._optional("explore", "explore")
        return explore

    @cached_property
    def export_fiftyone(self) -> Export | None:
        """What writes a data set into FiftyOne; None where the family has no such thing."""
        export: Export | None = self._optional("explore", "export_fiftyone")
        return export

    def preset(self, name: str) -> FamilyConfig:
        """Returns a named configuration.

        Raises:
            DiscoveryError: The family has no such preset.
        """
        if name not in self.presets:
            raise DiscoveryError(_nothing(f"preset {name!r}", self.name, name, self.presets))
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
        DiscoveryError: There is no such family, or its ``config.py`` does not hold one configuration.
    """
    if isinstance(family, str):
        package = load_module("trainables", family).__name__
    else:
        package = family.__module__.rpartition(".")[0]
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


def task_type(config_type: type[FamilyConfig]) -> type[Task[Any, Any]]:
    """Returns the task of the family that a configuration belongs to."""
    return load_family(config_type).task_type


def blame(error: BaseException, file: str) -> str:
    """Says where in ``file`` an exception comes from and what it is, in one line."""
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
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(target)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{target}.".startswith(f"{error.name}."):
            raise _broken(room, target, error) from error
        raise DiscoveryError(_missing(room, target, name)) from None
    except Exception as error:
        raise _broken(room, target, error) from error


def _missing(room: Room, target: str, name: str) -> str:
    if "." in name:
        return f"a dotted name must be importable from here, got {target!r}; run where its package lies"
    what = "family" if room == "trainables" else "search space"
    nothing = _nothing(f"{what} {name!r}", f"{room}/", name, names(room))
    if os.path.exists(f"{name}.py"):
        return f"{nothing}; the file {name}.py here is found inside a folder: mkdir lab, then lab.{name}"
    return nothing


def _nothing(what: str, where: str, name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {what} in {where}{hint} (found: {', '.join(sorted(known)) or 'none'})"


def _broken(room: Room, target: str, error: Exception) -> ThalwegError:
    file = _file(target, error)
    if room == "search_spaces":
        return SpaceError(f"a search space must be importable, got {blame(error, file)}")
    return DiscoveryError(f"a family must be importable, got {blame(error, file)}")


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
