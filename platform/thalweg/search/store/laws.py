"""What a study keeps while its name is in use: its definition. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any

from thalweg.discovery import space_name
from thalweg.search.overrides import options_of
from thalweg.search.space import Space
from thalweg.search.store.fingerprint import fingerprint, is_same

_LAWS = {  # settings that may not change while a name is in use, in words
    "space": "search space",
    "family": "family",
    "metric": "metric",
    "mode": "mode",
    "overrides": "data set",
    "samples": "budget in samples",
    "num_evaluations": "number of evaluations",
    "fingerprint": "version of its search space",
}


def definition_of(space: Space) -> dict[str, Any]:
    """Returns the definition of a study for its storage, along with all settings of its last run."""
    study = space.study
    return {
        "space": space.module_name,
        "family": space.config_type.__module__.rpartition(".")[0],
        "metric": study.metric,
        "mode": study.mode,
        "overrides": dict(space.overrides),
        "samples": study.samples,
        "num_evaluations": study.num_evaluations,
        "fingerprint": fingerprint(space.file),
        "study": study.model_dump(mode="json"),
    }


def change_of(name: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns a sentence on what has changed in a definition; empty if it is the same."""
    for key, what in _LAWS.items():
        if not _agrees(key, stored.get(key), now[key]):
            has, got = _told(key, stored.get(key)), _told(key, now[key])
            began = _began(stored.get("overrides") or {}, now["overrides"])
            return f"a study keeps its {what}: {name!r} has {has}, got {got}{began}"
    return ""


def _began(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says with which options a study began, if they are others now."""
    if stored == now:
        return ""
    return f" (it began {f'with {options_of(stored)}' if stored else 'without --dataset and --samples'})"


def _told(key: str, value: Any) -> Any:
    return (_dataset(value) or "the space's own") if key == "overrides" else value


def _dataset(overrides: Mapping[str, Any] | None) -> str | None:
    """Returns the data set that a command named for a study; studies of earlier versions record none."""
    return (overrides or {}).get("dataset")


def _agrees(key: str, stored: Any, now: Any) -> bool:
    """Returns whether a setting agrees with the stored one; a space may move, or be rewritten without effect."""
    if key == "fingerprint":
        return is_same(stored, now)
    if key == "overrides":  # a budget is a law of its own
        return _dataset(stored) == _dataset(now)
    if key == "space" and isinstance(stored, str):
        return space_name(stored) == space_name(now)
    return bool(stored == now)
