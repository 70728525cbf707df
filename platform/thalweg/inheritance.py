"""Which part of a staged model comes from which study, for `thalweg.contract.Task.inherit` of any family.

A model in parts, such as encoders, a projector and a head, may be trained over several studies: a configuration names
them in ``starts_from``, and each gives the parts that it has. The knobs of a part come with its weights. Of two studies
that have a part, the later one gives it.
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
        refusal: Says, of a study that gives none, the law, what it has and the way out.

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
        """Refuses parts that no study gives.

        Args:
            parts: Parts that must come from studies.
            needed_by: What needs them, in words.
            makers: Says which stages make some parts.

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
        """Refuses a part without the parts that it was trained for.

        Args:
            part: A part that a study gives.
            partners: Parts that must come from the same study.
            made: Parts that stages of the trial itself make.
            maker: The stage that makes the part.

        Raises:
            ConfigError: A partner is made here, or comes from another study.
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
        """Returns what the studies that give some parts have in common.

        Args:
            parts: Parts; those that no study gives say nothing.
            value_of: Returns what must be equal, from a configuration.
            law: Says that it must be equal.
            way_out: Says what to do if it is not.
            differ_in: Name of the knobs, for values that are too long to be shown.

        Returns:
            The value; None if no study gives one of the parts.

        Raises:
            ConfigError: Two studies differ.
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
            of: Returns the knobs of a part, from the configuration of the study that gives it.
        """
        found: dict[str, Any] = {}
        for part in self.studies:
            found |= of(part, self.config_of(part))
        return found


def taken(own: K, theirs: Knobs, names: Iterable[str]) -> K:
    """Returns knobs with those of some names as a study has them."""
    return own.model_copy(update={name: getattr(theirs, name) for name in names})


def named(parts: Iterable[str]) -> str:
    """Returns the names of parts for a message."""
    return ", ".join(sorted(parts)) or "nothing"
