"""Halves a trial's micro-batches until they fit into the memory of a lane's workers, and remembers what fitted.

A trial that runs out of memory is trained again from its last evaluation, in a new session with micro-batches of half
the size. So nothing is left of the step that failed: neither gradients nor buffers nor the state of a random generator.
All workers of a lane get the same order, so that they agree. A trial is never repeated as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from thalweg.hashing import digest
from thalweg.training.messages import Refusal, Report, TrialOrder

_SIZES = ("batch_size", "micro_batch_size", "precision", "zero_stage")
"""Knobs of the optimization on which the memory of a step depends."""


class FittingMicroBatches:
    """How often micro-batches are halved for the trials of a lane."""

    def __init__(self) -> None:
        self._fitted: dict[str, int] = {}

    def advance(
        self, order: TrialOrder, attempt: Callable[[TrialOrder], Report | Refusal]
    ) -> Report | Refusal:
        """Trains a trial to its next evaluation, with micro-batches as small as its memory needs.

        It begins with the size that the last trial of the same model, data and batch needed.

        Args:
            order: What to train.
            attempt: Trains an order to the next evaluation, from what the last attempt left on the disk.

        Returns:
            The report, with a note if micro-batches were halved; or the refusal of the attempt that cannot be halved.
        """
        like = _size(order)
        known = halvings = self._fitted.get(like, 0)
        answer = attempt(replace(order, halvings=halvings))
        told: list[str] = []
        while isinstance(answer, Refusal) and answer.can_halve:
            told += [answer.reason] if answer.kind == "group" else []
            halvings += 1
            answer = attempt(replace(order, halvings=halvings))
        if isinstance(answer, Refusal):
            return replace(answer, reason="; ".join(dict.fromkeys([*told, answer.reason])))
        if halvings == known:
            return answer
        self._fitted[like] = halvings
        return replace(answer, notes=(*answer.notes, _note(order, answer)))


def _size(order: TrialOrder) -> str:
    """Returns a hash of all that the memory of a step depends on: a seed or a learning rate does not count."""
    knobs = order.config.get("optimization", {})
    sizes = {name: knobs.get(name) for name in _SIZES}
    others = {name: value for name, value in order.config.items() if name not in ("seed", "optimization")}
    return digest({"family": order.family, "others": others, "sizes": sizes})


def _note(order: TrialOrder, report: Report) -> str:
    size = report.provenance.get("micro_batch_size")
    return f"{order.trial} trains in micro-batches of {size}, the same batch: larger ones did not fit into memory"
