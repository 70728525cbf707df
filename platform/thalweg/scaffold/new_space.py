"""Writes a new search space: a question about a family, to be changed into one's own."""

from __future__ import annotations

from thalweg import discovery
from thalweg.contract import metrics_of
from thalweg.discovery import Family
from thalweg.errors import ConfigError, DiscoveryError, ObjectiveError
from thalweg.files import atomic_file
from thalweg.scaffold.own_package import OwnPackage
from thalweg.wording import some

_TEXT = '''"""Which learning rate and which batch size does {family} learn best with?"""

{imports}

study = Study(metric="{metric}", mode="{mode}", samples={samples}, num_trials=12)


def space(trial: Trial) -> {config}:
    return PRESETS["{preset}"].vary(
        # A knob of the family is searched like these: thalweg describe {family}
        optimization={{
            "lr": trial.suggest_float("lr", {low:g}, {high:g}, log=True),
            "batch_size": trial.suggest_categorical("batch_size", {sizes}),
        }},
    )
'''
SAMPLES = 4096
"""Budget of a trial, which its author will know better."""


def write_space(
    name: str, family: str | None = None, package: str | None = None, preset: str | None = None
) -> str:
    """Writes a search space of a family, and returns its dotted name.

    Args:
        name: Name of the file.
        family: Name of the family; None takes the only one of the package.
        package: Dotted name of the package to write into; see `OwnPackage.find`.
        preset: Named configuration that the space varies; None takes the first one.

    Raises:
        ConfigError: A name is not fit to be imported, or several packages or families could be meant.
        DiscoveryError: There is no such family or preset.
        ObjectiveError: The preset measures nothing that a study could be searched by.
        OutputError: There is a module of this name, or a file cannot be written.
    """
    own = OwnPackage.find(package)
    place = own.place(name)
    text = _text(discovery.load_family(family or _only_family(own)), preset)
    with own.opened(), atomic_file(place.with_suffix(".py"), overwrite=False) as draft:
        draft.write_text(text, encoding="utf-8")
    return f"{own.name}.{name}"


def _only_family(own: OwnPackage) -> str:
    found = [name for name in discovery.own_families() if name.startswith(f"{own.name}.")]
    if len(found) != 1:
        raise ConfigError(
            f"a search space asks about one family, got {some(found) or 'none'} in {own.name}; add --family "
            f"{found[0] if found else 'NAME'}"
        )
    return found[0]


def _text(family: Family, preset: str | None) -> str:
    if not family.presets:
        raise DiscoveryError(f"a family must have presets that a space can vary, got none in {family.name}")
    chosen = preset or next(iter(family.presets))
    config = family.preset(chosen)
    fit = [metric for metric in metrics_of(family.task(config)) if metric.search_invariant]
    if not fit:
        raise ObjectiveError(
            f"a study's metric must mean the same in every trial, got none such in preset {chosen!r} of {family.name}; "
            "declare one with search_invariant=True"
        )
    knobs, kind = config.optimization, family.config_type
    sizes = sorted({max(1, knobs.batch_size // 2), knobs.batch_size, 2 * knobs.batch_size})
    imports = [
        "from thalweg.study import Study, Trial",
        f"from {kind.__module__} import {', '.join(sorted(['PRESETS', kind.__name__], key=_as_sorted))}",
    ]
    own = "" if kind.__module__.startswith("trainables.") else "\n"
    return _TEXT.format(
        family=family.name,
        imports=f"\n{own}".join(imports),
        metric=fit[0].name,
        mode=fit[0].mode,
        samples=SAMPLES,
        config=kind.__name__,
        preset=chosen,
        low=knobs.lr / 10,
        high=min(1.0, 10 * knobs.lr),
        sizes=sizes,
    )


def _as_sorted(name: str) -> tuple[bool, str]:
    """Orders imported names as linters do: constants first."""
    return not name.isupper(), name
