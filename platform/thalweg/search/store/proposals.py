"""Proposals of a study, which its search space may reject, and how Optuna's become answers to the space."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from thalweg.config import FamilyConfig
from thalweg.errors import SpaceError, ThalwegError
from thalweg.search.domains import ChoiceSet, Domain, Record
from thalweg.search.replay import AskedTrial, accept


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that begins.

    Attributes:
        number: Number within the study.
        params: The searched parameters.
        config: The configuration to train, with what it inherits from other studies.
        continues: Number of the trial that it continues: one that was interrupted, or stopped and promoted.
        promoted: Whether that one was stopped.
        checkpoint: Checkpoint of that trial; None starts from scratch.
        inherits: The configuration under which `checkpoint` was written, if it is of a trial with other values.
        lineage: Number and samples of that trial, and number of the one in whose place this one trains.
        resumed: Whether it has begun before in this session, and goes on after a rest.
        curve: (samples, objective) that it inherits with the checkpoint.
        notes: Sentences for people about what it could not inherit.
    """

    number: int
    params: Mapping[str, Any]
    config: FamilyConfig
    continues: int | None = None
    promoted: bool = False
    checkpoint: str | None = None
    inherits: Mapping[str, Any] | None = None
    lineage: Mapping[str, int] = field(default_factory=dict)
    resumed: bool = False
    curve: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()

    def tags(self) -> dict[str, str]:
        """Returns tags that tell which trial it continues; none if it is new."""
        heir = {name: str(value) for name, value in self.lineage.items()}
        if self.continues is None:
            return heir
        tags = {**heir, "continues": str(self.continues)}
        return tags | ({"promoted_after": str(self.curve[-1][0])} if self.promoted and self.curve else {})


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A trial that failed before it began: the space refused its parameters, or a study to start from is missing.

    Attributes:
        number: Number within the study.
        params: The parameters that the space had asked for until then.
        error: The error that was raised.
    """

    number: int
    params: Mapping[str, Any]
    error: ThalwegError


class ProposedTrial(AskedTrial):
    """A trial whose values Optuna proposes, under the same checks as `thalweg.search.replay`.

    Args:
        trial: The trial that Optuna began.
        fixed: Values by name that were enqueued; they must lie in their ranges, too.
    """

    def __init__(self, trial: optuna.Trial, fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._trial = trial
        self._fixed = dict(fixed or {})

    def _record(self, name: str, domain: Domain) -> Record:
        if name in self._fixed:
            accept(name, domain, self._fixed[name])
        try:
            record = self._suggest(name, domain)
        except ValueError as error:  # from Optuna: an earlier trial asked for another domain under this name
            raise SpaceError(
                f"a space must ask {name!r} with the same choices, or the same kind of range, in every trial, got "
                f"{domain} ({error}); use two names"
            ) from error
        return accept(name, domain, record) if name in self._fixed else record

    def _suggest(self, name: str, domain: Domain) -> Record:
        if isinstance(domain, ChoiceSet):
            chosen: Record = self._trial.suggest_categorical(name, domain.records)
            return chosen
        low, high, log = domain.low, domain.high, domain.log
        if domain.whole:
            return self._trial.suggest_int(name, int(low), int(high), step=int(domain.step or 1), log=log)
        return self._trial.suggest_float(name, low, high, step=domain.step, log=log)
