"""Inheritance of parts: finds the study that each part of a model starts from, for `Task.inherit` of any family.

A model in parts, such as encoders, a projector and a head, may be trained over several studies. A configuration names
its starting points in ``starts_from``, and each gives the parts that it has. The knobs of a part come with its weights.
If several studies have a part, the last of them gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

from thalweg.config import FamilyConfig, Knobs
from thalweg.errors import ConfigError

P = TypeVar("P", bound=str)
C = TypeVar("C", bound=FamilyConfig)
K = TypeVar("K", bound=Knobs)
V = TypeVar("V")


class Givers(Generic[P, C]):
    """The study that gives each part.

    Args:
        starting_points: Configuration of the best trial of each study in ``starts_from``, in that order.
        given: Returns the parts that a study gives, from its name and its configuration.
        refusal: Returns the error message for a study that gives none: law, value and way out.

    Attributes:
        studies: Name of the study that gives each part.

    Raises:
        ConfigError: A study gives no part.
    """

    def __init__(
        self,
        starting_points: Mapping[str, C],
        given: Callable[[str, C], Collection[P]],
        refusal: Callable[[str, C], str],
    ) -> None:
        self._starting_points = starting_points
        self.studies: dict[P, str] = {}
        for study, config in starting_points.items():
            parts = given(study, config)
            if not parts:
                raise ConfigError(refusal(study, config))
            self.studies |= dict.fromkeys(sorted(parts), study)

    def config_of(self, part: P) -> C:
        """Returns the configuration of the study that gives a part."""
        return self._starting_points[self.studies[part]]

    def require(self, parts: Iterable[P], needed_by: str, makers: Callable[[frozenset[P]], str]) -> None:
        """Checks that some parts are given by studies.

        Args:
            parts: The parts.
            needed_by: What needs them, in words.
            makers: Returns the names of the stages that make some parts.

        Raises:
            ConfigError: A part is given by no study.
        """
        if missing := frozenset(parts) - set(self.studies):
            raise ConfigError(
                f"studies in starts_from must have trained what {needed_by} need, got none of "
                f"{', '.join(self._starting_points)} with {named(missing)}; add the stage {makers(missing)} or a "
                "study that has it"
            )

    def require_partners(self, part: P, partners: Iterable[P], made: Collection[P], maker: str) -> None:
        """Checks that a part comes with the parts that it was trained with.

        Args:
            part: A part that a study gives.
            partners: Parts that must come from the same study.
            made: Parts that stages of this trial make.
            maker: The stage that makes the part.

        Raises:
            ConfigError: A partner is made by this trial, or comes from another study.
        """
        study = self.studies[part]
        strangers = [
            f"{partner} made here" if partner in made else f"{partner} from {self.studies[partner]!r}"
            for partner in partners
            if partner in made or self.studies[partner] != study
        ]
        if strangers:
            raise ConfigError(
                f"a {part} must come with the networks that it was trained for, got {part} from {study!r} and "
                f"{' and '.join(strangers)}; name that study last in starts_from and leave out stages that make these, "
                f"or train the {part} anew with the stage {maker}"
            )

    def shared(
        self,
        parts: Iterable[P],
        value_of: Callable[[C], V],
        *,
        law: str,
        way_out: str,
        differ_in: str | None = None,
    ) -> V | None:
        """Returns a value that must be equal in all studies that give some parts.

        Args:
            parts: The parts; those that no study gives are ignored.
            value_of: Returns the value, from a configuration.
            law: States that the value must be equal, for the error message.
            way_out: Says what to do if it is not.
            differ_in: Name of the knobs, shown in place of values that are too long.

        Returns:
            The value; None if no study gives any of the parts.

        Raises:
            ConfigError: The value differs between two studies.
        """
        found = {part: self.studies[part] for part in parts if part in self.studies}
        values = {study: value_of(self._starting_points[study]) for study in found.values()}
        first, *others = values.values() or (None,)
        if any(value != first for value in others):
            got = str(values)
            if differ_in:
                origins = (f"{part} from {study!r}" for part, study in found.items())
                got = f"{' and '.join(origins)}, which differ in {differ_in}"
            raise ConfigError(f"{law}, got {got}; {way_out}")
        return first

    def knobs(self, of: Callable[[P, C], Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the knobs of all parts that studies give, by name.

        Args:
            of: Returns the knobs of a part by name, from the configuration of the study that gives it.
        """
        found: dict[str, Any] = {}
        for part in self.studies:
            found |= of(part, self.config_of(part))
        return found


def taken(own: K, theirs: Knobs, names: Iterable[str]) -> K:
    """Returns knobs, some of which are replaced by those of a study."""
    return own.model_copy(update={name: getattr(theirs, name) for name in names})


def named(parts: Iterable[str]) -> str:
    """Returns the names of parts, for a message."""
    return ", ".join(sorted(parts)) or "nothing"
