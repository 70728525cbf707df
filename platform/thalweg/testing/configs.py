"""Checks a family's configurations."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from thalweg.config import parse
from thalweg.discovery import Family
from thalweg.errors import FamilyError
from thalweg.wording import as_seen

_ENGINES = ("torch", "ray", "deepspeed", "mlflow", "optuna")
_LIBRARIES = ("numpy", "pandas", "scipy", "h5py", "xarray")
HEAVY: Mapping[str, tuple[str, ...]] = {"config": (*_ENGINES, *_LIBRARIES), "datasets": _ENGINES}
"""What modules of a family must not import at their top: each command that lists families would wait for it."""
_IMPORT = """
import importlib, json, sys, traceback

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in heavy:
            frames = [f for f in traceback.extract_stack()[:-1] if "importlib" not in f.filename]
            found.setdefault(name, [[f.filename, f.lineno] for f in reversed(frames)])

found, (module, sys.path, heavy) = {}, json.loads(sys.argv[1])
sys.meta_path.insert(0, Watch())
importlib.import_module(module)
print(json.dumps(found))
"""


def check_presets(family: Family) -> None:
    """Checks that there are presets, and that each survives a round trip through JSON.

    Raises:
        FamilyError: There are none, or one changes in JSON.
    """
    if not family.presets:
        raise FamilyError(
            f"a family must have presets, got none in {family.name}; name some in PRESETS of config.py"
        )
    for name, preset in family.presets.items():
        again = parse(family.config_type, preset.model_dump(mode="json"))
        if again != preset:
            raise FamilyError(
                f"a configuration must be the same after a journey through JSON, got another for preset {name!r}; "
                "hold plain values in its knobs"
            )


def check_sentences(family: Family) -> None:
    """Checks that every knob has a docstring.

    Raises:
        FamilyError: A knob has none.
    """
    _check_sentences(family.config_type, "")


def _check_sentences(knobs: type[BaseModel], where: str) -> None:
    for name, field in knobs.model_fields.items():
        if not field.description:
            raise FamilyError(
                f"every knob must have a docstring, got none for {where}{name}; write one below it"
            )
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                _check_sentences(kind, f"{where}{name}.")


def check_light(family: Family) -> None:
    """Checks that ``config.py`` and ``datasets.py`` import nothing of `HEAVY`, in a process of its own.

    Raises:
        FamilyError: One does, or it cannot be imported alone; the message names the line.
    """
    for part, heavy in HEAVY.items():
        _check_light(family, f"{family.package}.{part}", heavy)


def _check_light(family: Family, module: str, heavy: tuple[str, ...]) -> None:
    order = json.dumps([module, sys.path, heavy])
    done = subprocess.run([sys.executable, "-c", _IMPORT, order], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FamilyError(f"{module} must be importable alone, got {last}; mend it there")
    folders = [Path(place) for place in sys.modules[family.package].__path__]
    for library, frames in json.loads(done.stdout.splitlines()[-1]).items():
        own = [(file, line) for file, line in frames if any(map(Path(file).is_relative_to, folders))]
        file, line = (own or frames)[0]
        raise FamilyError(
            f"{module} must import nothing heavy, got {library} in {as_seen(file)}:{line}; import it in the function "
            "that needs it, or move what needs it to another module"
        )
