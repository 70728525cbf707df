"""Search spaces: a file with ``study = Study(...)`` and one function ``space(trial) -> Config``.

To add a search space, write such a file in ``search_spaces/FAMILY/``; ``search_spaces/lakes/depth.py`` is the space
``lakes_depth``. The returned type names the family. The function may branch on the values that it receives: only the
parameters that it asks for are searched.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from thalweg import discovery
from thalweg.config import FamilyConfig, check, explain
from thalweg.errors import ConfigError, SpaceError, ThalwegError, nothing
from thalweg.search.branches import check_branches, check_middle
from thalweg.search.domains import Domain
from thalweg.search.replay import AskedTrial, RecordedTrial, SampledTrial, accept
from thalweg.study import Study, Trial

_NUM_DRAWS = 64
"""Random trials in which parameters of rare branches are looked for."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space that was loaded.

    Attributes:
        name: Name under which it was loaded.
        module_name: Dotted name of its module.
        file: The file that defines it.
        function: The function that the user wrote; calling the space itself also checks the result.
        study: Objective, budget and resources.
        config_type: Configuration that the function promises to return; it names the family.
        doc: First line of the function's or the module's docstring.
        question: The whole of it.
        overrides: What options of a command replace, by their names: the ``dataset`` of all configurations, the
            ``samples`` of the study. See `thalweg.search.overrides`.
        confirms: Study whose configurations it trains again; None for a search.
    """

    name: str
    module_name: str
    file: Path
    function: Callable[[Any], FamilyConfig]
    study: Study
    config_type: type[FamilyConfig]
    doc: str = ""
    question: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    confirms: str | None = None

    def __call__(self, trial: Trial) -> FamilyConfig:
        """Calls the function with a trial, checks the configuration and returns it.

        Raises:
            SpaceError: The function raised or returned something else; the message says where.
            ConfigError: The trial holds a value out of its range.
        """
        try:
            config = self.function(trial)
        except Exception as error:
            if isinstance(trial, AskedTrial) and error is trial.refusal:
                raise
            raise SpaceError(
                f"a search space must return a configuration, got {discovery.blame(error, str(self.file))}"
            ) from error
        if not isinstance(config, self.config_type):
            line = self.function.__code__.co_firstlineno if inspect.isfunction(self.function) else 1
            wanted = self.config_type.__name__
            raise SpaceError(
                f"{self.file}:{line}: space must return {wanted}, got {type(config).__name__}; end each of its "
                f"branches with return {wanted}(...), or a preset's vary(...)"
            )
        try:
            config = check(config)
        except ConfigError as error:
            raise SpaceError(f"{self.file}: space must return a valid configuration; {error}") from error
        dataset = self.overrides.get("dataset")
        return config if dataset is None else config.vary(dataset=dataset)

    def with_settings(self, **changes: Any) -> "Space":
        """Returns the space with changed settings of its study; a setting that is None stays as it is.

        Raises:
            ConfigError: A setting breaks a law.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return replace(
                self, study=Study.model_validate(self.study.model_dump(exclude_unset=True) | given)
            )
        except ValidationError as error:
            raise ConfigError(explain(error)) from None

    def replay(self, params: Mapping[str, Any]) -> tuple[FamilyConfig, RecordedTrial]:
        """Builds the configuration of a parameter set; a parameter that is left out takes its default.

        Raises:
            ConfigError: A parameter is unknown or out of its range.
            SpaceError: The function raised or returned something else.
        """
        trial = RecordedTrial(params)
        config = self(trial)
        trial.check_all_asked()
        return config, trial


def load_space(name: str) -> Space:
    """Loads a search space by a bare or a dotted name.

    Raises:
        DiscoveryError: There is no such space.
        SpaceError: The file raises, or lacks ``study`` or ``space``, or the function's return type.
    """
    module = discovery.load_module("search_spaces", name)
    file = Path(str(module.__file__))
    study, function = getattr(module, "study", None), getattr(module, "space", None)
    if not isinstance(study, Study):
        raise SpaceError(f"{file} must define study = Study(...), got {type(study).__name__}")
    if not inspect.isfunction(function):
        raise SpaceError(
            f"{file} must define def space(trial: Trial) -> Config, got {type(function).__name__}"
        )
    doc = inspect.getdoc(function) or inspect.getdoc(module) or ""
    return Space(
        name=name,
        module_name=module.__name__,
        file=file,
        function=function,
        study=study,
        config_type=_returned_type(function, file),
        doc=doc.partition("\n")[0],
        question=doc,
    )


def probe(space: Space) -> RecordedTrial:
    """Calls a space with all defaults, with each of the study's first trials, and in each of its branches.

    Returns:
        The trial with all defaults, which holds what the space asked.

    Raises:
        SpaceError: The function raises or returns something else, or asks for what no trial can answer or its
            configuration refuses.
        ConfigError: A first trial names a parameter that the space does not ask for, or a value out of its range.
    """
    check_middle(space, str(space.file))
    _, middle = space.replay({})
    first = [space.replay(params)[1] for params in space.study.first_trials]
    check_branches(space, str(space.file), [middle, *first])
    _check_priors(space, [middle, *first])
    return middle


def _check_priors(space: Space, asked: Iterable[AskedTrial]) -> None:
    """Refuses a prior of a parameter that the space does not ask for, or whose range does not hold it.

    Raises:
        ConfigError: There is one.
    """
    priors = space.study.priors
    known: dict[str, Domain] = {name: domain for trial in asked for name, domain in trial.asked.items()}
    if priors.keys() - known.keys():
        known |= domains_of(space)
    for name, prior in priors.items():
        if name not in known:
            raise ConfigError(
                nothing(f"parameter {name!r}, of which there is a prior,", "the space", name, known)
            )
        accept(name, known[name], prior.value)


def domains_of(space: Space) -> dict[str, Domain]:
    """Returns the parameters that a space asks for, with their domains; those of rare branches may be missing."""
    random = Random(0)
    known: dict[str, Domain] = {}
    for _ in range(_NUM_DRAWS):
        sampled = SampledTrial(random)
        with suppress(ThalwegError):  # what a space refuses is told elsewhere
            space(sampled)
        known |= sampled.asked
    return known


def extremes(space: Space) -> Iterator[tuple[Mapping[str, Any], FamilyConfig]]:
    """Yields the configurations at the ends of a space, and those of the study's first trials, with their parameters.

    Each parameter takes both ends, or each of its choices, with all others at their defaults. What the space refuses
    is left out, as it is in a search.
    """
    _, middle = space.replay({})
    corners = [{name: corner} for name, domain in middle.asked.items() for corner in domain.corners()]
    for params in (*corners, *space.study.first_trials):
        try:
            config, _ = space.replay(params)
        except ThalwegError:
            continue
        yield params, config


def refused(space: Space, num_samples: int) -> list[tuple[Mapping[str, Any], ThalwegError]]:
    """Returns the parameter sets that a space refuses, each with the error, of some random ones."""
    random = Random(0)
    found: list[tuple[Mapping[str, Any], ThalwegError]] = []
    for _ in range(num_samples):
        trial = SampledTrial(random)
        try:
            space(trial)
        except ThalwegError as error:
            found.append((trial.params, error))
    return found


def _returned_type(function: Callable[..., Any], file: Path) -> type[FamilyConfig]:
    annotation = inspect.signature(function).return_annotation
    where = f"{file}:{function.__code__.co_firstlineno}"
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, function.__globals__)  # a postponed annotation
        except Exception as error:  # whatever evaluating text may raise
            raise SpaceError(f"{where}: the type that space returns must be imported, got {error}") from None
    if not (isinstance(annotation, type) and issubclass(annotation, FamilyConfig)):
        found = "no annotation" if annotation is inspect.Signature.empty else repr(annotation)
        raise SpaceError(f"{where}: space must be annotated with its family's configuration, got {found}")
    return annotation
