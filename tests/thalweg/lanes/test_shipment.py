"""The code that a cluster is sent."""

import subprocess
import sys
from pathlib import Path

import pytest

import search_spaces
import trainables
from thalweg.lanes.shipment import shipped, top_packages


def test_each_package_is_sent_once_by_its_folder() -> None:
    names = top_packages("trainables.water_mae", "my_lab.lakes.task", "my_lab.rates", "tarn")
    assert names == ("trainables", "my_lab", "tarn")
    with shipped(("trainables", "json")) as paths:
        assert [Path(path).name for path in paths] == ["thalweg", "trainables", "search_spaces", "json"]


def test_folders_of_one_name_are_sent_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "search_spaces"
    (mine / "water_mae").mkdir(parents=True)
    (mine / "marsh.py").write_text("DEPTH = 1\n")
    (mine / "quickstart.py").write_text("DEPTH = 2\n")
    (mine / "water_mae/bog.py").write_text("DEPTH = 3\n")
    monkeypatch.setattr(search_spaces, "__path__", [str(mine), *search_spaces.__path__])
    with shipped(()) as paths:
        sent = Path(paths[2])
        assert sent.name == "search_spaces"
        assert (sent / "quickstart.py").read_text() == "DEPTH = 2\n"
        assert {"bog.py", "masking.py", "__init__.py"} <= {
            path.name for path in (sent / "water_mae").iterdir()
        }
        assert [path for path in sent.rglob("__pycache__")] == []
        assert Path(paths[1]) == Path(next(iter(trainables.__path__)))
    assert not sent.exists()


_ASKS = """
import sys
from pathlib import Path
from thalweg import discovery
from thalweg.lanes import cluster

discovery.names("trainables")  # joins one's own folders
with cluster.connect(sys.argv[1], Path("ray.log"), packages=("my_lab",)):
    import ray

    def sent():  # not by import: on this machine the working directory would answer first
        import sys
        from pathlib import Path
        rooms = ("my_lab/lakes", "trainables/moor/__init__", "trainables/water_mae/task", "search_spaces/marsh")
        places = [Path(place) for place in sys.path if "py_modules_files" in place]
        return [room for room in rooms if any((place / f"{room}.py").is_file() for place in places)]

    print(*ray.get(ray.remote(num_cpus=0)(sent).remote()), sep="\\n")
"""


@pytest.mark.integration
@pytest.mark.slow
def test_a_cluster_has_ones_own_packages_and_folders(ray_address: str, tmp_path: Path) -> None:
    for folder in ("my_lab", "trainables/moor", "search_spaces"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("my_lab/__init__", "my_lab/lakes", "trainables/moor/__init__", "search_spaces/marsh"):
        (tmp_path / f"{file}.py").write_text("DEPTH = 1\n")
    done = subprocess.run(
        [sys.executable, "-c", _ASKS, ray_address], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert [Path(line).stem for line in done.stdout.split()] == ["lakes", "__init__", "task", "marsh"]
