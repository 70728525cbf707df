"""Hashes that are the same on every machine and in every process."""

import ast
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 8192  # counters that are hashed at once: 64 KiB and as much scratch stay in the cache of a core


def splitmix64(state: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    """Hashes counters into independent 64-bit random numbers.

    The output function of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), used as a
    counter-based generator: a random number depends on its key only, not on those drawn before it.

    Args:
        state: Counters or earlier results of any shape.

    Returns:
        Numbers of the same shape.
    """
    with np.errstate(over="ignore"):
        hashes = np.asarray(np.add(np.asarray(state, dtype=np.uint64), _GOLDEN, order="C"))
    flat = hashes.reshape(-1)
    scratch = np.empty(min(flat.size, _BLOCK), np.uint64)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        shifted = scratch[: block.size]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            block ^= np.right_shift(block, np.uint64(shift), out=shifted)
            block *= np.uint64(factor)
        block ^= np.right_shift(block, np.uint64(31), out=shifted)
    return flat.reshape(hashes.shape)


def digest(values: Mapping[str, Any], num_digits: int = 16) -> str:
    """Returns the first hexadecimal digits of a JSON document's SHA-256, which does not depend on the order of keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:num_digits]


def hash_of_code(text: str) -> str:
    """Returns the hash of a module's code, empty if there is none.

    Comments, formatting and docstrings, those of attributes included, do not count.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            body = getattr(node, part, None)
            if isinstance(body, list) and body:
                kept = [each for each in body if not is_text(each)]
                setattr(node, part, kept or ([] if node is tree else [ast.Pass()]))
    code = ast.unparse(tree)
    return hashlib.sha256(code.encode()).hexdigest()[:16] if code else ""


def is_text(node: ast.AST) -> bool:
    """Returns whether a statement is a text alone, such as a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
