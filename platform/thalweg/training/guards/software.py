"""The software that numbers depend on: libraries, the platform's own code, and the processor that runs them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import thalweg

VERSION = "version/"
PLATFORM_CODE = "platform_code"
_LIBRARIES = ("thalweg", "torch", "deepspeed", "numpy")
_ROOMS = ("data", "knobs", "nn", "training")


@functools.cache
def software() -> Mapping[str, str]:
    """Returns versions of libraries, a hash of the platform's code that trains, and the processor."""
    found = {f"{VERSION}{name}": version(name) for name in _LIBRARIES}
    found["python"] = platform.python_version()
    found[PLATFORM_CODE] = _hash_of_platform(Path(str(thalweg.__file__)).parent)
    found["processor"] = processor()
    return found


def processor() -> str:
    """Returns the name of the machine's processor, by which torch chooses its kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _hash_of_platform(package: Path) -> str:
    """Returns 16 digits of the SHA-256 of all modules that training imports, byte by byte."""
    content = hashlib.sha256()
    for file in _modules(package):
        content.update(os.fsencode(file.relative_to(package)) + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def _modules(package: Path) -> Iterator[Path]:
    yield from sorted(package.glob("*.py"))
    for room in _ROOMS:
        yield from sorted((package / room).rglob("*.py"))
