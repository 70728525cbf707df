"""The package that a new family or search space is written into: one of the user's own, below the working directory."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from thalweg import discovery
from thalweg.errors import ConfigError, OutputError, ThalwegError
from thalweg.files import atomic_file, refusal
from thalweg.wording import as_seen, some

FIRST = "my_lab"
"""Name of the package that is made if there is none."""


@dataclass(frozen=True)
class OwnPackage:
    """A package below the working directory; it need not exist.

    Attributes:
        name: Dotted name.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Its folder."""
        return Path.cwd().joinpath(*self.name.split("."))

    @classmethod
    def find(cls, asked: str | None) -> OwnPackage:
        """Returns the package of a name, or the only one of the working directory, or `FIRST` if there is none.

        Raises:
            ConfigError: There are several packages, or a name is not fit to be imported.
            DiscoveryError: Another module of this name would be imported instead.
        """
        name = asked or _only_one()
        for part in name.split("."):
            check_name("a package", part)
        discovery.check_own(name)
        _check_not_hidden(name)
        return cls(name)

    def place(self, name: str) -> Path:
        """Returns where a module or a package inside it lies, without a suffix.

        Raises:
            ConfigError: The name is not fit to be imported.
            OutputError: There is a module or package of this name.
        """
        check_name("a family or search space", name)
        place = self.folder / name
        for path in (place, place.with_suffix(".py")):
            if path.exists():
                raise OutputError(
                    f"a new family or search space must not replace anything, got {as_seen(path)}, which exists; "
                    "choose another name"
                )
        return place

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Makes the package if it is missing, then runs the block.

        Raises:
            OutputError: A file or folder cannot be written.
        """
        try:
            for depth in range(1, len(self.name.split(".")) + 1):
                parent = Path.cwd().joinpath(*self.name.split(".")[:depth])
                parent.mkdir(exist_ok=True)
                if not (init := parent / "__init__.py").exists():
                    with atomic_file(init, overwrite=False) as draft:
                        draft.write_text('"""Model families and search spaces of our own."""\n')
            yield
        except ThalwegError:
            raise
        except OSError as error:
            raise refusal("the package's folder", self.folder, error, "go to a folder that is") from error


def check_name(what: str, name: str) -> None:
    """Refuses a name that a module cannot have.

    Raises:
        ConfigError: It is no lower-case name, or a word of Python's.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ConfigError(
            f"the name of {what} must be lower-case letters, digits and _, and no word of Python's, got {name!r}; try "
            f"{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_0123456789') or 'lakes'}"
        )


def _only_one() -> str:
    here = Path.cwd()
    if (here / "__init__.py").exists():
        raise ConfigError(
            f"a family is written from outside of its package, got {here}, which is one; cd .., and add --package "
            f"{here.name}"
        )
    found = [
        init.parent.name
        for init in sorted(here.glob("[!._]*/__init__.py"))
        if init.parent.name not in (*discovery.ROOMS, "tests")
    ]
    if len(found) > 1:
        raise ConfigError(
            f"a family is written into one package, got {len(found)} here: {some(found)}; add --package {found[0]}"
        )
    return found[0] if found else FIRST


def _check_not_hidden(name: str) -> None:
    """Refuses a package whose name stands for something that is installed.

    Raises:
        ConfigError: It does.
    """
    discovery.look_here()
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        return
    folders = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if (Path.cwd() / top).resolve() not in folders:
        raise ConfigError(
            f"a package of one's own must not be named like one that is installed, got {top!r}, which is "
            f"{spec.origin}; choose another with --package, for instance lab_{top}"
        )
