"""Ships code with a model: the platform and the model's family as files, tried in a process that sees nothing else."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import thalweg
from thalweg.discovery import ROOMS
from thalweg.errors import FamilyError
from thalweg.files import writing

# Runs where nothing but the shipped code and installed libraries can be imported. Prints the distributions that the
# shipped modules which were loaded import themselves, and their versions.
_TRY = """
import sys
sys.path[:0] = [sys.argv[1]]
import ast, json
from importlib.metadata import packages_distributions, version
from pathlib import Path
from thalweg.inference import load
from thalweg.serving.quantities import zeros
found = load(Path(sys.argv[2]))
taken, given = found.quantities
outputs = found.predict(zeros(taken))
assert list(outputs) == [each.name for each in given], (list(outputs), given)
own = {path.name for path in Path(sys.argv[1]).iterdir()}
strange = [name for name, module in sys.modules.items() if name.partition(".")[0] in own
           and not (getattr(module, "__file__", None) or sys.argv[1]).startswith(sys.argv[1])]
assert not strange, f"what is shipped lacks {', '.join(strange)}"
names = set()
for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    if file and file.startswith(sys.argv[1]):
        for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
owners = packages_distributions()
libraries = sorted({owners[name][0] for name in names & set(sys.modules) if name in owners and name not in own})
print(json.dumps({name: version(name) for name in libraries}))
"""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """Code that a model needs, ready to be shipped.

    Attributes:
        packages: Folders of the packages at the top.
        requirements: Libraries that they import, as ``torch==2.15.0``.
        num_bytes: Size of their files.
    """

    packages: tuple[Path, ...]
    requirements: tuple[str, ...]
    num_bytes: int


def stage(family: str, folder: Path) -> tuple[Path, ...]:
    """Copies the modules of the platform and of a family, wherever it lies, into a folder.

    Of ``trainables`` only the family's own folder is taken, of any other package all modules. Other files, such as data
    beside them, stay where they are.

    Args:
        family: Package of the family, such as ``trainables.water_mae`` or ``my_lab.lakes``.
        folder: An empty folder.

    Returns:
        The packages at the top.

    Raises:
        OutputError: They cannot be copied.
    """
    top, _, rest = family.partition(".")
    places = [Path(place) for place in importlib.import_module(top).__path__]
    with writing("the code of a model", folder, "free space in the folder of temporary files"):
        _copy(Path(str(thalweg.__file__)).parent, folder / "thalweg")
        for place in places:  # a package without __init__.py may lie in several
            if top not in ROOMS:
                _copy(place, folder / top)
                continue
            (folder / top).mkdir()
            shutil.copy(place / "__init__.py", folder / top)
            _copy(place / rest, folder / top / rest)
    return folder / "thalweg", folder / top


def _copy(source: Path, target: Path) -> None:
    for file in source.rglob("*.py"):
        own = target / file.relative_to(source)
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, own)


def tried(family: str, model: Path, folder: Path) -> Shipped:
    """Stages code and predicts once with it, in a process in which nothing else of ours can be imported.

    Args:
        family: Package of the family.
        model: The exported model.
        folder: An empty folder for the code.

    Raises:
        FamilyError: The model does not predict there; the message is the last line of its traceback.
        OutputError: The code cannot be copied.
    """
    packages = stage(family, folder)
    # -I: neither the working directory nor PYTHONPATH; -S would take installed libraries away too.
    command = [sys.executable, "-I", "-c", _TRY, str(folder), str(model)]
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FamilyError(
            f"a model must predict where only its family and libraries are installed, got {last}; let the family of "
            f"{family} import nothing outside of its package but libraries"
        )
    versions: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    return Shipped(
        packages=packages,
        requirements=tuple(f"{name}=={known}" for name, known in sorted(versions.items())),
        num_bytes=sum(file.stat().st_size for file in _files(packages)),
    )


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": ""}


def _files(packages: tuple[Path, ...]) -> Iterator[Path]:
    return (file for package in packages for file in package.rglob("*") if file.is_file())
