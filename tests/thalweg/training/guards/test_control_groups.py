"""Limits of memory that control groups set, of both versions and in any that a process lies in."""

from pathlib import Path

import pytest

from thalweg.training.guards.control_groups import memory_mib, texts

NONE = 2**63 - 4096
"""What version 1 says where there is no limit."""


def in_group(tmp_path: Path, line: str, **limits: str) -> float:
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(line + "\n")
    for name, text in limits.items():
        file = mounted.joinpath(*name.split("__"))
        file = file.with_name(file.name.replace("memory_", "memory."))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return memory_mib(proc, mounted)


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_mib(tmp_path, tmp_path) > 100


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("0::/slice/job", {"slice__job__memory_max": "52428800"}),
        ("0::/slice/job", {"slice__job__memory_max": "max", "slice__memory_max": "52428800"}),
        ("0::/", {"memory_max": "52428800"}),
        ("4:cpu,memory:/job", {"memory__job__memory_limit_in_bytes": "52428800"}),
        (
            "4:memory:/job",
            {
                "memory__job__memory_limit_in_bytes": f"{NONE}",
                "memory__memory_limit_in_bytes": "52428800",
            },
        ),
    ],
)
def test_it_is_the_least_that_a_control_group_allows(
    tmp_path: Path, line: str, limits: dict[str, str]
) -> None:
    assert in_group(tmp_path, line, **limits) == 50.0


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("0::/slice/job", {"slice__job__memory_max": "max"}),
        ("3:cpu:/job", {"job__memory_max": "52428800"}),
        ("4:memory:/job", {"memory__job__memory_limit_in_bytes": f"{NONE}"}),
        ("0::/slice/job", {"other__memory_max": "52428800"}),
    ],
)
def test_no_limit_and_those_of_others_change_nothing(
    tmp_path: Path, line: str, limits: dict[str, str]
) -> None:
    assert in_group(tmp_path, line, **limits) == memory_mib(tmp_path / "none", tmp_path / "none")


def test_the_own_group_comes_before_those_that_it_lies_in(tmp_path: Path) -> None:
    in_group(tmp_path, "0::/a/b", a__b__memory_max="1", a__memory_max="2", memory_max="3")
    found = texts(("memory.max",), tmp_path / "proc", tmp_path / "cgroup")
    assert [text.strip() for text in found] == ["1", "2", "3"]
