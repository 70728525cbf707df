"""Answers a search space with Optuna's proposals, under the same checks as `thalweg.search.replay`."""

from collections.abc import Mapping
from typing import Any

import optuna

from thalweg.errors import SpaceError
from thalweg.search.domains import ChoiceSet, Domain, Record
from thalweg.search.replay import AskedTrial, accept


class ProposedTrial(AskedTrial):
    """A trial whose values Optuna proposes.

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
