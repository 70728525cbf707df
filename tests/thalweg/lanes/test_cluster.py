"""A Ray that starts late, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ConnectionFailed
from thalweg.lanes import cluster

ray = pytest.importorskip("ray")


def _asks(get_node: Callable[..., Any]) -> Any:
    return get_node("host:1", "n")


def test_a_node_that_registers_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    asked: list[tuple[str, str]] = []

    def late(address: str, node: str) -> dict[str, str]:
        asked.append((address, node))
        if len(asked) < 3:
            raise RuntimeError("no such node yet")
        return {"node": node}

    monkeypatch.setattr(services, "get_node", late)
    with cluster._patiently():
        assert _asks(services.get_node) == {"node": "n"}
    assert asked == [("host:1", "n")] * 3
    assert services.get_node is late


def test_a_node_that_never_registers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def never(*_: str) -> None:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", never)
    monkeypatch.setattr(cluster, "_START_S", 0.3)
    with cluster._patiently(), pytest.raises(RuntimeError, match="no such node"):
        _asks(services.get_node)


def test_a_ray_that_does_not_start_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nMore.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        ConnectionFailed,
        match=r"Ray must start .* within 300 s, got The current node timed out during startup\. \(\d+ cores, load",
    ):
        cluster._start(None, None, tmp_path / "ray.log")
