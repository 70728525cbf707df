"""The evaluation protocol of a study: all its trials keep to one, for they are compared."""

from typing import Any

import optuna

from thalweg.errors import StudyError, TrialError

PROTOCOL = "protocol"
"""User attribute of the study: hash of the protocol, and number of the first trial."""


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
