"""Who may import whom: the table of docs/architecture.md, enforced on the source.

The walk sees each ``import`` and each ``import_module`` with a literal name, also inside
functions, and skips blocks under ``TYPE_CHECKING``. New modules are covered by their place.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_fd.methods import METHODS, WRAPPERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("broker", "channel_sim", "devices", "edge_fd")
LEAVES = ("broker", "channel_sim", "devices")

# What a device runs: these and all that they import at module level.
DEVICE_ROOTS = (
    "broker.client",
    "broker.frame",
    "devices",
    "edge_fd.codecs",
    "edge_fd.data.device_file",
    "edge_fd.methods",
    "edge_fd.node",
    "edge_fd.rounds",
    "edge_fd.session",
)
HEAVY = (
    "amqtt",
    "jinja2",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "simpy",
    "sklearn",
    "torch",
)
# backports.zstd is named compression.zstd from Python 3.14 on.
ZSTD = {"backports", "compression"}


class Import(NamedTuple):
    target: str
    at_module_level: bool


@cache
def modules() -> dict[str, Path]:
    """All modules of ours by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_type_checking(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def walk(node: ast.AST, *, at_module_level: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for branch in child.orelse:  # type: ignore[attr-defined]
                yield branch, at_module_level
                yield from walk(branch, at_module_level=at_module_level)
            continue
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield child, at_module_level
        yield from walk(child, at_module_level=at_module_level and not inside)


def targets(node: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parent = module.split(".")[: None if is_package else -1]
            parent = parent[: len(parent) - node.level + 1]
            base = ".".join([*parent, *filter(None, [node.module])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield full if full in modules() else base
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def imports_of(source: str, module: str, *, is_package: bool = False) -> list[Import]:
    return [
        Import(target, at_module_level)
        for node, at_module_level in walk(ast.parse(source))
        for target in targets(node, module, is_package=is_package)
    ]


@cache
def graph() -> dict[str, list[Import]]:
    return {
        name: imports_of(path.read_text("utf-8"), name, is_package=path.stem == "__init__")
        for name, path in modules().items()
    }


def under(name: str, *places: str) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def ours(name: str) -> bool:
    return under(name, *PACKAGES)


def closure(roots: tuple[str, ...]) -> set[str]:
    """The modules under ``roots`` and all of ours that importing them loads."""
    waiting = [name for name in modules() if under(name, *roots)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in modules():
            continue
        found.add(name)
        waiting += [target for target, at_module_level in graph()[name] if at_module_level]
        waiting.append(name.rpartition(".")[0])
    return found


@cache
def device_path() -> set[str]:
    return closure(DEVICE_ROOTS)


TOOLS = {
    "numpy",
    "cbor2",
    "pydantic",
    "pyarrow",
    "sklearn",
    "jinja2",
    "matplotlib",
    "rich",
    "tomli",
    "joblib",
}

# (where, third-party packages, packages of ours); the first row that fits counts.
TABLE: tuple[tuple[str, set[str], set[str]], ...] = (
    ("channel_sim", {"numpy", "scipy", "simpy"}, {"channel_sim"}),
    ("devices", {"numpy", "onnxruntime"}, {"devices"}),
    # The process of the pure-Python broker; nothing else may start one in its own.
    ("broker.amqtt_process", {"amqtt"}, {"broker"}),
    ("broker", {"numpy", "paho", "cbor2", *ZSTD}, {"broker"}),
    ("edge_fd.exporter", {"numpy", "onnxruntime", "torch", "onnx"}, {"devices", "edge_fd"}),
    ("edge_fd.students", {"numpy", "onnxruntime", "torch", "onnx"}, {"devices", "edge_fd"}),
    # cbor2 for canonical fused bytes and for what is kept on disk; frames are the broker's.
    ("a device's path", {"numpy", "cbor2"}, {"broker", "devices", "edge_fd"}),
    # Where the user has a cluster of theirs.
    ("edge_fd.simulation.workers", {*TOOLS, "ray", "distributed"}, set(PACKAGES)),
    ("edge_fd.simulation", {*TOOLS, "simpy", "scipy"}, set(PACKAGES)),
    ("edge_fd.verbs.channel", TOOLS, set(PACKAGES)),
    ("edge_fd", TOOLS, {"broker", "devices", "edge_fd"}),
)


def allowed(module: str) -> tuple[set[str], set[str]]:
    """The third-party packages and the packages of ours that ``module`` may import."""
    for where, libraries, own in TABLE:
        if under(module, where) or (where == "a device's path" and module in device_path()):
            return libraries, own
    raise LookupError(module)


def is_standard(target: str) -> bool:
    return target.partition(".")[0] in sys.stdlib_module_names - ZSTD or target == "__main__"


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_what_its_place_allows(module: str) -> None:
    libraries, own = allowed(module)
    wrong = [
        target
        for target, _ in graph()[module]
        if not is_standard(target)
        and target.partition(".")[0] not in (own if ours(target) else libraries)
    ]
    assert not wrong, f"{module} must not import {wrong}"


def test_the_modules_of_ours_import_each_other_without_a_cycle() -> None:
    edges = {
        name: {target for target, level in found if level and target in modules()} - {name}
        for name, found in graph().items()
    }
    graphlib.TopologicalSorter(edges).prepare()  # raises CycleError with the cycle


def test_no_module_imports_one_of_ours_that_is_not_there() -> None:
    missing = [
        (name, target)
        for name, found in graph().items()
        for target, _ in found
        if ours(target) and target not in modules()
    ]
    assert not missing


def test_a_device_never_reaches_torch_at_module_level() -> None:
    reached = [
        name for name in device_path() if under(name, "edge_fd.exporter", "edge_fd.students")
    ]
    assert not reached


# The walk itself, on a module that imports in every way there is.
def test_the_walk_sees_what_python_would_import() -> None:
    source = """
from __future__ import annotations
import os, devices.bundle as bundle
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch
else:
    import scipy.stats
try:
    import tomllib
except ImportError:
    import tomli
from . import errors
from .methods import fd
class C:
    import rich
    def f(self):
        import onnx
        g = lambda: importlib.import_module("simpy.core")
"""
    found = imports_of(source, "edge_fd.made")
    assert {target for target, level in found if level} == {
        "__future__",
        "os",
        "devices.bundle",
        "typing",
        "scipy.stats",
        "tomllib",
        "tomli",
        "edge_fd.errors",
        "edge_fd.methods.fd",
        "rich",
    }
    assert {target for target, level in found if not level} == {"onnx", "simpy.core"}
    from_package = imports_of("from .fd import x", "edge_fd.methods", is_package=True)
    assert from_package == [Import("edge_fd.methods.fd", at_module_level=True)]


def loaded_after(names: list[str], *, among: tuple[str, ...]) -> list[str]:
    """Which packages ``among`` are loaded in a fresh interpreter that imports ``names``."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {among!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_device_process_loads_nothing_heavy() -> None:
    names = [name for name in sorted(modules()) if under(name, *DEVICE_ROOTS)]
    assert "devices.student" in names
    assert "edge_fd.session" in names
    assert loaded_after(names, among=HEAVY) == []


def test_a_device_process_reads_no_method_but_its_own() -> None:
    named = tuple(f"edge_fd.methods.{name}" for name in (*METHODS, *WRAPPERS))
    assert set(named) <= set(modules())
    assert loaded_after(["edge_fd.node"], among=named) == []
    own = ["edge_fd.methods.local", "edge_fd.methods.dsfl"]  # all train as local does
    assert loaded_after(["edge_fd.node", own[1]], among=named) == own


def test_importing_a_package_is_cheap() -> None:
    third_party = (*HEAVY, "numpy", "onnxruntime", "paho", "cbor2")
    assert loaded_after(list(PACKAGES), among=third_party) == []
    # Below channel_sim lie the simulator's own models, which are made of scipy and simpy.
    everywhere = [
        name
        for name, path in modules().items()
        if path.stem == "__init__" and not name.startswith("channel_sim.")
    ]
    assert loaded_after(everywhere, among=HEAVY) == []


def test_the_check_for_loaded_packages_can_see_one() -> None:
    assert loaded_after(["devices.student"], among=("numpy", "torch")) == ["numpy"]


def test_every_package_of_the_tree_is_listed_for_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert found == set(settings["tool"]["setuptools"]["packages"])
    for folder in folders:
        assert (folder / "__init__.py").is_file(), f"{folder} has no __init__.py"
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file(), f"{package} has no py.typed"


@pytest.mark.parametrize(
    "package", sorted(name for name, path in modules().items() if path.stem == "__init__")
)
def test_the_table_of_contents_is_true(package: str) -> None:
    module = importlib.import_module(package)
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = module.no_such_name


SHADOWED = """
import importlib, importlib.util, sys
for package in sys.argv[1:]:
    contents = importlib.import_module(package)
    for name in contents.__all__:
        if importlib.util.find_spec(f"{package}.{name}") is not None:
            before = getattr(contents, name)
            importlib.import_module(f"{package}.{name}")
            assert getattr(contents, name) is before, f"{package}.{name}"
"""


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """Importing a submodule sets it as an attribute, over whatever has that name."""
    packages = sorted(name for name, path in modules().items() if path.stem == "__init__")
    command = [sys.executable, "-c", SHADOWED, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
