"""A family's preset as a search space without parameters, to be trained like any configuration of a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.contract import Metric, metrics_of
from thalweg.datasets.making import existing
from thalweg.errors import ConfigError, ObjectiveError, meant
from thalweg.search.knob_values import with_knobs
from thalweg.search.overrides import with_budget
from thalweg.search.space import Space
from thalweg.study import Study, Trial

NUM_EVALUATIONS = 8


def preset_space(
    family_name: str,
    preset: str,
    samples: int | None,
    *,
    dataset: str | None = None,
    metric: str | None = None,
    knobs: Mapping[str, str] | None = None,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Space:
    """Returns a space whose only configuration is a preset of a family, with some knobs changed.

    Args:
        family_name: Name of the family.
        preset: Name of the preset.
        samples: Budget in training samples; a preset has none of its own.
        dataset: Data set; None takes the preset's.
        metric: Metric to follow; None takes the first search-invariant one that the preset measures.
        knobs: Values of knobs as text, by dotted names such as ``optimization.lr``.
        root: Folder of all data.
        tell: Called with a sentence for people about what takes a while.

    Raises:
        DiscoveryError: There is no such family, preset or data set.
        ConfigError: ``samples`` is None or smaller than a batch, or a knob is unknown, refused or without effect.
        ObjectiveError: The family has no such metric, or none is fit to be followed.
    """
    family = discovery.load_family(family_name)
    config = family.preset(preset)
    if samples is None:
        raise ConfigError(
            f"a preset needs a budget in training samples, got none for {preset!r}; add --samples N"
        )
    if dataset is not None:
        existing(family, dataset, root, tell)
        config = config.vary(dataset=dataset)
    config = with_knobs(config, knobs or {}, family.name)
    chosen = _metric(family, config, metric)
    study = Study(
        metric=chosen.name, mode=chosen.mode, samples=NUM_EVALUATIONS, num_evaluations=NUM_EVALUATIONS
    )
    module = f"{family.package}.config"

    changed = "".join(f", {name}={value}" for name, value in (knobs or {}).items())

    def answer(trial: Trial) -> FamilyConfig:
        return config

    return Space(
        name=f"{family.name}-{preset}",
        module_name=module,
        file=Path(discovery.load_module("trainables", module).__file__ or module),
        function=answer,
        study=with_budget(study, samples, [config]),
        config_type=family.config_type,
        doc=f"preset {preset} of {family.name}{changed}, data set {config.dataset}, {chosen.name} ({chosen.mode})",
    )


def _metric(family: discovery.Family, config: FamilyConfig, name: str | None) -> Metric:
    """Returns the metric of a name, or the first search-invariant one."""
    fit = [metric for metric in metrics_of(family.task(config)) if metric.search_invariant]
    found = next((metric for metric in fit if name in (None, metric.name)), None)
    if found is None:
        names = [metric.name for metric in fit]
        close = meant(name or "", names)
        raise ObjectiveError(
            f"the metric to follow must be search-invariant and measured, got {name or 'none'!r}"
            + (close or f"; this configuration of {family.name} has {', '.join(names) or 'none'}")
        )
    return found
