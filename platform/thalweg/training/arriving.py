"""Numbers of a training step that the host reads later, so that no step waits for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Arriving:
    """Scalars on their way to the host.

    The copy is queued behind the step that computed them. Reading waits for that step, not for those queued since.

    Args:
        values: fp64 scalars by name, on one device.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        together = torch.stack(list(values.values()))
        self._copy = together.to("cpu", non_blocking=True)
        self._event: torch.cuda.Event | None = None
        if together.device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def read(self) -> dict[str, float]:
        """Returns the numbers once they are here."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._copy.tolist(), strict=True))
