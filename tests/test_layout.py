"""The rules of the house that no linter knows."""

import ast
import functools
import gc
import inspect
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.tested_by import TESTED_BY
from thalweg import discovery
from thalweg.contract import Task

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "thalweg": ROOT / "platform/thalweg",
    "trainables": ROOT / "trainables",
    "search_spaces": ROOT / "search_spaces",
}
CODE = (*PACKAGES.values(), ROOT / "tests", ROOT / "benchmarks")
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_CLASS_LINES = 250
MAX_MODULES_OF_A_FOLDER = 16
DISK = {
    "platform/thalweg/files.py": "the one home of drafts, names and locks",
    "platform/thalweg/lines.py": "appends to a file under the file's own lock, and waits for the disk",
}
NAMELESS = {"base", "common", "core", "helpers", "manager", "misc", "util", "utils"}


def sources() -> Iterator[Path]:
    return (path for folder in CODE for path in sorted(folder.rglob("*.py")))


@functools.cache
def tracked() -> tuple[Path, ...]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    output = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(ROOT / name for name in output.stdout.split("\0") if name and (ROOT / name).is_file())


@pytest.fixture(scope="module", autouse=True)
def _no_collections() -> Iterator[None]:
    """A million nodes live as long as this module's tests: collections would take longer than parsing does."""
    gc.disable()
    yield
    tree.cache_clear()
    gc.enable()


@functools.cache
def tree(path: Path) -> ast.Module:
    """Returns a module's tree; many tests read it, and it is parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(body: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """Yields the statements of a body and of all below them, but no expressions, most of a tree."""
    for node in body:
        if isinstance(node, ast.stmt):
            yield node
        for below in ("body", "handlers", "cases", "orelse", "finalbody"):
            yield from statements(getattr(node, below, ()))


def definitions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in statements(tree(path).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def num_lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in definitions(path):
        if not isinstance(node, ast.ClassDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", num_lines(node)


def classes(path: Path) -> Iterator[tuple[str, int]]:
    return ((node.name, num_lines(node)) for node in definitions(path) if isinstance(node, ast.ClassDef))


def of_packages() -> list[Path]:
    return [path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))]


def of_thalweg() -> list[Path]:
    return sorted(PACKAGES["thalweg"].rglob("*.py"))


def users_of(library: re.Pattern[str]) -> set[str]:
    """Returns the modules of thalweg that import something whose dotted name begins so, wherever in them."""
    return {dotted(path) for path in of_thalweg() if any(map(library.match, all_imported(path)))}


@functools.cache
def all_imported(path: Path) -> frozenset[str]:
    """Returns what a module imports anywhere."""
    return frozenset(name for node in ast.walk(tree(path)) for name in imported(node))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGES["thalweg"]).with_suffix("").parts)


def imported(node: ast.AST) -> list[str]:
    """Returns what a node imports, by a statement or by a function."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return names(node)
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name), args=[ast.Constant(str(module)), *_]):
            return [module] if name in ("import_module", "__import__", "find_spec", "LazyLoader") else []
    return []


def reached_for(path: Path) -> set[str]:
    """Returns the private names that a module takes from something else than what it defines itself."""
    taken, own = set(), set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                own.add(name)
            case ast.Attribute(value=ast.Name("self" | "cls"), attr=name):
                own.add(name)
            case ast.Attribute(attr=name) if re.match(r"_[^_]", name):
                taken.add(name)
    return taken - own


def names(node: ast.AST) -> list[str]:
    """Returns what a node imports, or the string that it is; a sentence to the user names nothing."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module)):
            return [f"{module}.{alias.name}" for alias in node.names]
        case ast.Constant(value=str(value)):
            return [value]
    return []


def test_platform_is_a_folder_and_never_a_package() -> None:
    assert not (ROOT / "platform/__init__.py").exists()
    assert [path.name for path in (ROOT / "platform").iterdir() if path.name != "__pycache__"] == ["thalweg"]


def test_import_platform_is_the_standard_library_beside_our_folder() -> None:
    code = "import platform, sysconfig; print(platform.__file__.startswith(sysconfig.get_path('stdlib')))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "True"


def test_tests_hold_no_packages_that_could_hide_the_real_ones() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_package_is_typed_and_every_init_holds_only_a_docstring() -> None:
    for folder in PACKAGES.values():
        assert (folder / "py.typed").exists(), folder
        assert [path for path in folder.rglob("*.py") if not (path.parent / "__init__.py").exists()] == []
        for init in folder.rglob("__init__.py"):
            module = tree(init)
            assert len(module.body) == 1 and ast.get_docstring(module), init


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path.name: lines for path, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    assert [
        where for path in sources() for where, lines in functions(path) if lines > MAX_FUNCTION_LINES
    ] == []


def test_no_class_of_the_product_is_longer_than_250_lines() -> None:
    sizes = [(path.name, name, lines) for path in of_packages() for name, lines in classes(path)]
    assert [size for size in sizes if size[2] > MAX_CLASS_LINES] == []


def test_no_folder_holds_more_than_16_modules() -> None:
    counts = Counter(path.parent for path in of_packages() if not path.name.startswith("_"))
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES_OF_A_FOLDER} == {}


def test_no_two_modules_of_thalweg_have_one_name() -> None:
    stems = Counter(path.stem for path in of_thalweg() if path.stem != "__init__")
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_no_two_public_classes_of_thalweg_have_one_name() -> None:
    public = Counter(name for path in of_thalweg() for name, _ in classes(path) if not name.startswith("_"))
    assert [name for name, count in public.items() if count > 1] == []


def test_only_the_console_and_the_command_line_draw() -> None:
    assert {name.partition(".")[0] for name in users_of(re.compile(r"rich\b"))} == {"console", "cli"}


def test_only_the_store_of_searches_knows_optuna() -> None:
    assert [name for name in users_of(re.compile(r"optuna\b")) if not name.startswith("search.store.")] == []


def test_only_lanes_and_two_modules_of_the_search_know_ray() -> None:
    outside = {name for name in users_of(re.compile(r"ray\b")) if not name.startswith("lanes.")}
    assert outside <= {"search.run", "search.tune_adapters"}


def test_private_interfaces_of_ray_and_optuna_are_reached_for_in_modules_of_their_own() -> None:
    assert users_of(re.compile(r"ray(\.\w+)*\._")) == {"lanes.private_ray", "lanes.private_train"}
    assert users_of(re.compile(r"optuna(\.\w+)*\._")) == set()
    knowing = users_of(re.compile(r"(ray|optuna)\b"))
    assert {path.name for path in of_thalweg() if dotted(path) in knowing and reached_for(path)} <= {
        "private_ray.py",
        "private_torch.py",
        "private_train.py",
        "private_optuna.py",
    }
    inside = re.compile(r"(?<!self)\._(storage|trial_id|study_id|thread_local)\b")
    users = {path.name for path in of_thalweg() if inside.search(path.read_text(encoding="utf-8"))}
    assert users == {"private_optuna.py"}


def test_every_module_of_thalweg_has_a_test_of_its_name_or_one_that_is_named_here() -> None:
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    modules = {path.stem for path in of_thalweg()} - {"__init__", "__main__"}
    assert sorted(stem for stem in modules - set(TESTED_BY) if f"test_{stem}" not in tests) == []
    assert sorted(stem for stem in TESTED_BY if stem not in modules or f"test_{stem}" in tests) == []
    assert sorted(test for test in TESTED_BY.values() if test not in tests) == []


def test_the_root_of_a_family_holds_what_discovery_reads_and_what_its_variants_share() -> None:
    root = re.compile(r"__init__|config|task|\w+_task|datasets|explore|knobs")
    paths = (ROOT / "trainables").glob("*/*.py")
    assert [path for path in paths if not root.fullmatch(path.stem)] == []


def test_a_family_writes_at_most_17_methods_of_which_8_are_required() -> None:
    methods = {name: value for name, value in vars(Task).items() if inspect.isfunction(value)}
    public = [value for name, value in methods.items() if not name.startswith("_")]
    assert len(public) <= 17
    assert sum(getattr(method, "__isabstractmethod__", False) for method in public) <= 8


def test_every_module_has_a_name_that_says_something() -> None:
    words = {path: {path.parent.name, *path.stem.split("_")} for path in sources()}
    assert [path for path, said in words.items() if said & NAMELESS] == []


def test_thalweg_imports_and_selects_no_family_and_no_space_by_name() -> None:
    families = {path.parent.name for path in (ROOT / "trainables").glob("[!_]*/__init__.py")}
    spaces = set(discovery.names("search_spaces"))
    named = [
        (path.name, name)
        for path in PACKAGES["thalweg"].rglob("*.py")
        for node in ast.walk(tree(path))
        for name in names(node)
        if (families | spaces) & set(name.split("."))
    ]
    assert named == []


def disk_calls(node: ast.AST) -> Iterator[str]:
    """Yields what of a node renames, locks or waits for the disk by itself."""
    match node:
        case ast.Import(names=aliases):
            renamed = {"os", "shutil"}
            yield from (
                each.name
                for each in aliases
                if each.name == "fcntl" or (each.asname and each.name in renamed)
            )
        case ast.ImportFrom(module="fcntl" | "os" as module, names=aliases):
            yield from (f"{module}.{alias.name}" for alias in aliases if alias.name not in ("PathLike",))
        case ast.Attribute(
            value=ast.Name("os"), attr="replace" | "rename" | "renames" | "link" | "fsync" as name
        ):
            yield f"os.{name}"
        case ast.ImportFrom(module="shutil", names=aliases):
            yield from (f"shutil.{alias.name}" for alias in aliases if alias.name == "move")
        case ast.Attribute(value=ast.Name("shutil"), attr="move"):
            yield "shutil.move"
        case ast.Call(
            func=ast.Attribute(attr="rename" | "replace" as name), keywords=[ast.keyword(arg="target")]
        ):
            yield f"Path.{name}"
        # text is replaced by two arguments, and what dataclasses and pandas replace and rename is named by keywords
        case ast.Call(
            func=ast.Attribute(attr="rename" | "replace" | "hardlink_to" as name), args=[_], keywords=[]
        ):
            yield f"Path.{name}"


def test_names_locks_and_the_wait_for_the_disk_have_one_home() -> None:
    files = [path for package in PACKAGES.values() for path in package.rglob("*.py")]
    found = {
        path.relative_to(ROOT).as_posix(): sorted(calls)
        for path in files
        if (calls := {call for node in ast.walk(tree(path)) for call in disk_calls(node)})
    }
    assert {name: calls for name, calls in found.items() if name not in DISK} == {}
    assert found.keys() == DISK.keys()


def text(node: ast.AST) -> str:
    """Returns a string or an f-string as it is written, and nothing of other nodes."""
    match node:
        case ast.Constant(value=str(value)):
            return repr(value)
        case ast.JoinedStr():
            return ast.unparse(node)
    return ""


def test_names_below_a_studys_folder_are_spelled_once() -> None:
    own = (
        r"journal\.log|driver\.lock|baselines\.json|mlflow\.(json|lock|log)|mlflow_(spool|refused).*|ray\.log"
    )
    spelled = re.compile(rf"f?['\"]({own}|trial[- ]\{{.*:0\dd\}}.*|samples-.*)['\"]")
    folders = ("checkpoints", "sources", "lanes", "tune", "failures", "pictures")
    found = {
        (path.name, ast.unparse(node))
        for path in PACKAGES["thalweg"].rglob("*.py")
        for node in ast.walk(tree(path))
        if spelled.fullmatch(text(node))
        or (isinstance(node, ast.BinOp) and getattr(node.right, "value", None) in folders)
    }
    assert {name for name, _ in found} == {"study_folder.py"}, found


def test_code_is_ascii() -> None:
    files = [*sources(), *ROOT.glob("*.toml"), *ROOT.glob("*.y*ml"), *ROOT.glob(".*.yaml"), ROOT / ".ci/run"]
    assert [path for path in files if not path.read_text(encoding="utf-8").isascii()] == []


def test_no_lock_file_is_tracked_for_it_spells_registry_hosts_out() -> None:
    assert [path for path in tracked() if path.name == "uv.lock"] == []


def test_no_tracked_file_names_a_home_folder() -> None:
    home = re.compile(rb"(?<![\w.~}])/(?:home|root|Users)/\w")
    assert [path for path in tracked() if home.search(path.read_bytes())] == []


def test_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [lint, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_exactly_the_three_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.suffix in (".py", ".html", ".md") or path.name == "py.typed"
    }
    modules = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert modules == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_carries_the_versions_that_the_tests_passed_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {one for one in project["tool"]["uv"]["constraint-dependencies"] if "==" in one}
    tested = project["project"]["optional-dependencies"]["tested"]

    def named(requirement: str) -> str:
        return re.split(r"[^\w-]", requirement)[0].lower()

    assert set(tested) <= pinned
    assert {named(one) for one in project["project"]["dependencies"]} <= {named(one) for one in tested}


def test_packages_import_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(Path(name).is_relative_to(tmp_path) for name in result.stdout.split())
