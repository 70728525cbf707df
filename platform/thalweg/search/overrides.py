"""Overrides: what the options of a command replace of a search space, its data set and its budget."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.datasets.making import existing
from thalweg.errors import ConfigError
from thalweg.search.space import Space, extremes, probe
from thalweg.study import Study
from thalweg.wording import counted, some


def overridden(
    space: Space,
    *,
    dataset: str | None = None,
    samples: int | None = None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Space:
    """Returns a space with another data set or budget for all of its trials; what equals its own changes nothing.

    Args:
        space: The space.
        dataset: Data set in the place of the one that the space names; None keeps that.
        samples: Budget of a trial in training samples; None keeps the space's.
        root: Folder of all data.
        tell: Called with sentences for people about what is replaced.

    Raises:
        SpaceError: The space cannot be called.
        DiscoveryError: The family has no such data set.
        ConfigError: The space chooses among data sets itself, or the budget is smaller than a batch.
    """
    if dataset is None and samples is None:
        return space
    probe(space)
    middle, _ = space.replay({})
    configs = [middle, *(config for _, config in extremes(space))]
    if dataset is not None:
        space = _with_dataset(space, dataset, configs, root, tell)
    if samples is not None:
        space = _with_samples(space, samples, configs, tell)
    return space


def with_budget(study: Study, samples: int, configs: Sequence[FamilyConfig]) -> Study:
    """Returns a study with another budget, in which evaluations and rungs keep their places as shares of it.

    Between two evaluations lies a whole batch at least, so that none repeats the one before: a small budget has fewer.

    Args:
        study: The study.
        samples: Budget of a trial in training samples.
        configs: Configurations that its trials may have.

    Raises:
        ConfigError: The budget is smaller than a batch.
    """
    batch = max(config.optimization.batch_size for config in configs)
    if samples < batch:
        raise ConfigError(
            f"a budget must hold a batch, up to {batch:,} samples here, got --samples {samples}; raise it, or lower "
            "optimization.batch_size"
        )
    changed = {"samples": samples, "num_evaluations": min(study.num_evaluations, samples // batch)}
    if study.min_samples is not None:
        changed["min_samples"] = min(samples, math.ceil(study.min_samples * samples / study.samples))
    return study.model_copy(update=changed)


def options_of(overrides: Mapping[str, Any]) -> str:
    """Writes overrides as the options that make them: ``--dataset mine --samples 512``; empty without any."""
    return shlex.join(word for name, value in overrides.items() for word in (f"--{name}", str(value)))


def _with_dataset(
    space: Space,
    dataset: str,
    configs: Sequence[FamilyConfig],
    root: Path | None,
    tell: Callable[[str], None],
) -> Space:
    existing(discovery.load_family(space.config_type), dataset, root, tell)
    own = list(dict.fromkeys(config.dataset for config in configs))
    if len(own) > 1:
        raise ConfigError(
            f"--dataset gives all trials one data set, got {dataset!r} for a space whose trials choose among "
            f"{some(own)}; leave it out, or copy the space and let it name one"
        )
    if own == [dataset]:
        return space
    tell(f"data set {dataset} in place of the space's {own[0]}")
    return replace(space, overrides={**space.overrides, "dataset": dataset})


def _with_samples(
    space: Space, samples: int, configs: Sequence[FamilyConfig], tell: Callable[[str], None]
) -> Space:
    study = with_budget(space.study, samples, configs)
    if samples == space.study.samples:
        return space
    rungs = f", rungs at {some(f'{rung:,}' for rung in study.rungs)}" if study.rungs else ""
    tell(
        f"{counted(samples, 'sample')} for each trial in place of the space's {space.study.samples:,}: "
        f"{counted(study.num_evaluations, 'evaluation')}{rungs}"
    )
    return replace(space, study=study, overrides={**space.overrides, "samples": samples})
