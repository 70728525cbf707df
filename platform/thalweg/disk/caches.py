"""The user's folder of caches: what can be computed again lies there."""

import os
import time
from pathlib import Path

CACHE_VARIABLE = "THALWEG_CACHE"

BEGAN_NS = time.time_ns()
"""When this module was imported, in nanoseconds since 1970: the command line does so before it imports a family."""


def cache_folder() -> Path | None:
    """Returns the folder of caches: ``THALWEG_CACHE``, or ``thalweg`` in the user's folder of caches, if any."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG Base Directory Specification ignores others
        return Path(base, "thalweg")
    try:
        return Path.home() / ".cache" / "thalweg"
    except RuntimeError:  # a user without a home
        return None
