"""cluster.yaml against Ray's own schema, and what keeps such a cluster closed."""

import copy
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
START_COMMANDS = ("head_start_ray_commands", "worker_start_ray_commands")
LOOPBACK = "127.0.0.1"


@pytest.fixture
def cluster() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(TEXT)
    return config


def commands(cluster: dict[str, Any], program: str) -> Iterator[str]:
    """Yields every command of the cluster that runs a program, as one line."""
    for key, value in cluster.items():
        if key.endswith("_commands"):
            yield from (line for line in value if program in line)


def test_ray_accepts_the_file_as_complete(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert prepared["head_start_ray_commands"] == cluster["head_start_ray_commands"]


def test_ray_refuses_a_misspelt_key(cluster: dict[str, Any]) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster["setup_comands"] = cluster.pop("setup_commands")
    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(prepare_config(cluster))


@pytest.mark.parametrize("key", START_COMMANDS)
def test_every_node_starts_ray_with_token_authentication(cluster: dict[str, Any], key: str) -> None:
    (start,) = [command for command in cluster[key] if "ray start" in command]
    assert "RAY_AUTH_MODE=token ray start" in start


def test_the_token_travels_as_a_file_and_is_never_written_here(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in cluster["setup_commands"]
    assert "RAY_AUTH_TOKEN" not in TEXT


def test_dashboard_and_mlflow_listen_on_loopback_only(cluster: dict[str, Any]) -> None:
    (head,) = [line for line in commands(cluster, "ray start") if "--head" in line]
    (mlflow,) = commands(cluster, "mlflow server")
    assert f"--dashboard-host={LOOPBACK}" in head
    assert f"--host {LOOPBACK}" in mlflow


def test_nothing_is_open_to_the_internet(cluster: dict[str, Any]) -> None:
    assert not re.search(r"(?<!\d)0\.0\.0\.0|::/0", TEXT)
    assert "IpPermissions" not in TEXT


def test_every_machine_has_our_security_group_for_rays_own_opens_port_22(cluster: dict[str, Any]) -> None:
    nodes = [node["node_config"] for node in cluster["available_node_types"].values()]
    assert all(len(node["SecurityGroupIds"]) == 1 for node in nodes)
    assert {node["MetadataOptions"]["HttpTokens"] for node in nodes} == {"required"}


def test_files_are_exported_to_private_networks_only(cluster: dict[str, Any]) -> None:
    (export,) = commands(cluster, "/etc/exports")
    networks = [word.split("(")[0] for word in export.split("'")[1].split()[1:]]
    assert networks == ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]


def test_head_has_no_gpu_and_gpu_workers_start_from_none(cluster: dict[str, Any]) -> None:
    types = dict(cluster["available_node_types"])
    head = types.pop(cluster["head_node_type"])
    assert "GPU" not in head["resources"]
    assert all(node["resources"]["GPU"] >= 1 and node["min_workers"] == 0 for node in types.values())


def test_everything_that_the_package_is_built_of_travels(cluster: dict[str, Any]) -> None:
    local = {path for path in cluster["file_mounts"].values() if not path.startswith("~")}
    assert local >= {"platform", "trainables", "search_spaces", "pyproject.toml", "README.md", "LICENSE"}
    assert all((ROOT / path).exists() for path in local)


def test_every_command_is_valid_shell(cluster: dict[str, Any]) -> None:
    for command in commands(cluster, ""):
        subprocess.run(["bash", "-n", "-c", command], check=True, capture_output=True)


@pytest.mark.integration
def test_ray_refuses_a_request_without_the_token(ray_address: str) -> None:
    from ray._private.worker import get_dashboard_url

    assert ray_address
    url = f"http://{get_dashboard_url()}/api/v0/nodes"  # type: ignore[no-untyped-call]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=20)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200
