"""What the trials of a study have in common, for they are compared: the evaluation protocol, and the code."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from thalweg.errors import StudyError, TrialError
from thalweg.search.store.definition import any_trained
from thalweg.search.store.records import CODE, PROTOCOL, PROTOCOL_PARTS
from thalweg.wording import counted, some


class StudyProtocol:
    """The hash of the protocol at which a study's trials are evaluated, as its storage keeps it.

    Args:
        study: The study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._known: list[Any] | None = study.user_attrs.get(PROTOCOL)

    def check(self, protocol: str) -> None:
        """Refuses to continue the study under another evaluation protocol than that of its trials.

        Raises:
            StudyError: They differ.
        """
        if self._known is not None and protocol != self._known[0]:
            raise StudyError(
                f"a study keeps its evaluation protocol: {self._study.study_name!r} has {self._known[0]}, "
                f"got {protocol}; continue it with the data and the version of the family that it began with, or give "
                "the new study another name"
            )

    def describe(self, parts: Mapping[str, Any]) -> None:
        """Records what the protocol consists of, so that a difference from that of another study can be named."""
        told = json.loads(json.dumps(parts))  # as the storage returns it, with lists for tuples
        if self._study.user_attrs.get(PROTOCOL_PARTS) != told:
            self._study.set_user_attr(PROTOCOL_PARTS, told)

    def keep(self, number: int, protocol: str | None) -> None:
        """Records the protocol of a trial's evaluation; that of the first one becomes the study's.

        Raises:
            TrialError: It differs from the study's.
        """
        if protocol is None:
            return
        if self._known is None:
            self._known = [protocol, number]
            self._study.set_user_attr(PROTOCOL, self._known)
        if protocol != self._known[0]:
            raise TrialError(
                f"trials of a study must be evaluated at one protocol, got {protocol} where trial "
                f"{self._known[1]} has {self._known[0]}; search no knob that changes the evaluation"
            )


class StudyCode:
    """The hashes of the modules that a study's trials were trained with, as its storage keeps them.

    Old and new trials share a table, so that a change between them must be no secret.

    Args:
        study: The study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def check(self, now: Mapping[str, str], *, accept: bool = False) -> Iterator[str]:
        """Refuses to continue a study with other code than that of its trials, and keeps the code of those to come.

        Args:
            now: Hash of each module.
            accept: Whether a change is accepted; it is recorded then.

        Yields:
            Sentences for people, if there is something to say.

        Raises:
            StudyError: The code has changed.
        """
        known: dict[str, Any] | None = self._study.user_attrs.get(CODE)
        if known is not None and known["modules"] == now:
            return
        changes = list(known["changes"]) if known is not None else []
        if any_trained(self._study) and known is None:
            yield (
                f"study {self._study.study_name!r} was begun before code was recorded: whether its family has changed "
                "since is not known; from now on a change is told"
            )
        elif any_trained(self._study) and known is not None:
            changed = _changed(known["modules"], now)
            told = f"{counted(len(changed), 'module')} changed since its last trial: {some(changed)}"
            if not accept:
                raise StudyError(
                    f"a study keeps the code of its trials, which share a table: {self._study.study_name!r} has "
                    f"{told}; give the new study another name, or continue it with "
                    "--accept-code-change, which is recorded"
                )
            number = _next_to_train(self._study)
            before = {name: known["modules"].get(name) for name in changed}
            now_of = {name: now.get(name) for name in changed}
            changes.append({"from_trial": number, "modules": now_of, "before": before})
            yield f"trials from {number} on run other code, {told}; recorded"
        self._study.set_user_attr(CODE, {"modules": dict(now), "changes": changes})


def _next_to_train(study: optuna.Study) -> int:
    """Returns the number from which on trials run the code of the session that begins.

    Trials that wait have a number, but run that code: those that a study begins with, and those that go on.
    """
    begun = (trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING)
    return max((trial.number + 1 for trial in begun), default=0)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the names of modules that are new, gone or changed."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
