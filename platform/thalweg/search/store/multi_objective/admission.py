"""Trials that cost more than their study allows: not trained if that is known before, and no rivals of others."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna

from thalweg.config import FamilyConfig
from thalweg.errors import ConstraintError
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.records import BROKEN, CONFIG, StudyRecord
from thalweg.study import COSTS, Study
from thalweg.training.messages import Report

CostsOf = Callable[[Any], Mapping[str, float]]
"""Returns the costs of a configuration that are known before training, by names such as ``cost/num_parameters``."""


def unknown(config: Any) -> Mapping[str, float]:
    """Returns no costs."""
    return {}


def check_affordable(
    trial: optuna.Trial, config: FamilyConfig, costs: Mapping[str, float], study: Study
) -> None:
    """Refuses a configuration that costs more than its study allows; its record holds it all the same.

    Args:
        trial: The trial.
        config: Its configuration.
        costs: Costs that are known before training.
        study: Settings of the study.

    Raises:
        ConstraintError: It does.
    """
    broken = Constraints.of_study(study).of_names(costs).broken(costs)
    if broken:
        trial.set_user_attr(CONFIG, config.model_dump(mode="json"))
        raise ConstraintError(
            f"a trial must keep the constraints of its study, got {broken}; it is not trained, and the sampler learns "
            "from it; raise the bound, or let the space ask for smaller models"
        )


def note_broken(trial: optuna.Trial, report: Report, study: Study) -> None:
    """Notes that a trial costs more than its study allows, so that early stopping compares no other one with it."""
    costs = {name: value for name, value in report.measured.items() if name in COSTS}
    broken = Constraints.of_study(study).of_names(costs).broken(costs)
    if broken and BROKEN not in trial.user_attrs:
        trial.set_user_attr(BROKEN, broken)


def lacking(record: StudyRecord) -> Iterator[str]:
    """Yields a sentence if the first complete trial lacks a further objective, or the value of a constraint."""
    complete = record.ranking()
    if len(complete) != 1:
        return
    asked = dict.fromkeys((*record.also, *record.constraints.names))
    missing = [name for name in asked if name not in complete[0].metrics]
    if missing:
        yield (
            f"trial {complete[0].number} has no finite value of {', '.join(missing)}: the sampler leaves out trials "
            "without an objective, and they break the constraints of what they lack"
        )
