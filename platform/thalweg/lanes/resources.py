"""Gang scheduling: a lane gets the resources of all its workers, or none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thalweg.errors import ResourceError


@dataclass(frozen=True)
class Gang:
    """The workers of one lane.

    Attributes:
        num_workers: Workers that train one trial together.
        cpus: CPU cores per worker.
        gpus: GPUs per worker.
    """

    num_workers: int
    cpus: float
    gpus: float

    @property
    def bundle(self) -> dict[str, float]:
        """Resources of one worker under Ray's names."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        return {name: amount for name, amount in wanted.items() if amount > 0}

    def __str__(self) -> str:
        parts = " and ".join(f"{amount:g} {name}" for name, amount in self.bundle.items())
        return f"{self.num_workers} x {parts}"


def lanes_that_fit(gang: Gang, nodes: Sequence[Mapping[str, float]]) -> int:
    """Returns how many whole gangs fit on nodes with these resources, filled node by node."""
    free = [dict(node) for node in nodes]
    lanes = 0
    while True:
        placed = 0
        for node in free:
            while placed < gang.num_workers and _fits(gang.bundle, node):
                for name, amount in gang.bundle.items():
                    node[name] -= amount
                placed += 1
        if placed < gang.num_workers:
            return lanes
        lanes += 1


def _fits(bundle: Mapping[str, float], node: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) + 1e-9 >= amount for name, amount in bundle.items())


def book(gang: Gang, num_lanes: int | str, wait_s: float) -> int:
    """Returns how many lanes may run at once; waits for an autoscaler to provide the machines.

    Args:
        gang: Workers of one lane.
        num_lanes: Lanes asked for; ``"auto"`` takes all that fit now, at least one.
        wait_s: Seconds to wait for the resources.

    Raises:
        ResourceError: Not even one lane fits after the wait; the message says what is missing.
    """
    from ray.autoscaler.sdk import request_resources

    wanted = 1 if num_lanes == "auto" else int(num_lanes)
    deadline = time.monotonic() + wait_s
    nodes = _nodes()
    fitting = lanes_that_fit(gang, nodes)
    if fitting < wanted:
        request_resources(bundles=[gang.bundle] * (gang.num_workers * wanted))
        while fitting < wanted and time.monotonic() < deadline:
            time.sleep(1.0)
            nodes = _nodes()
            fitting = lanes_that_fit(gang, nodes)
        request_resources(bundles=[])  # else an autoscaler would keep the machines after the study
    if not fitting:
        raise ResourceError(_missing(gang, nodes, wait_s))
    _wait_until_free(gang, deadline)
    return fitting if num_lanes == "auto" else min(fitting, wanted)


def _wait_until_free(gang: Gang, deadline: float) -> None:
    """Waits until a busy cluster has room for one lane.

    Raises:
        ResourceError: Others hold the resources until the deadline.
    """
    import ray

    while True:
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        busy = [
            f"{free.get(name, 0.0):g} {name}"
            for name, amount in gang.bundle.items()
            if free.get(name, 0.0) + 1e-9 < amount * gang.num_workers
        ]
        if not busy:
            return
        if time.monotonic() >= deadline:
            raise ResourceError(
                f"a lane needs {gang} at the same time, got {' and '.join(busy)} free, the rest is in use; "
                "wait for the others, or longer with --wait"
            )
        time.sleep(1.0)


def _nodes() -> list[dict[str, float]]:
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def _missing(gang: Gang, nodes: Sequence[Mapping[str, float]], wait_s: float) -> str:
    totals = {name: sum(node.get(name, 0.0) for node in nodes) for name in gang.bundle}
    have = " and ".join(f"{amount:g} {name}" for name, amount in totals.items())
    return (
        f"a lane needs {gang} at the same time, got {have} on {len(nodes)} machines after {wait_s:.0f} s; "
        "lower num_workers, cpus_per_worker or gpus_per_worker of the study, add machines, "
        "or wait longer for an autoscaler with --wait"
    )
