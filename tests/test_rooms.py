"""Imports go one way, mingpt <- core <- pages and app, and every room keeps to what is its own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THE_APP = {"streamlit", "pages", "app", "pandas", "transformers"}
DRAWING = {"plotly", "matplotlib"}
CLUSTER = {"distributed", "dask"}  # loaded where --scheduler asks for it, and nowhere else
TEXTS = {f"core.question.{name}" for name in ("experiment", "tokens", "pair")} | {"mingpt.bpe"}
MODELS = {
    "core.catalogue",
    "core.delivery",
    "core.models",
    "core.engine",
    "core.reading",
    "core.study",
    "core.checks",
}

# Within core imports go downwards only: to rooms that stand before in this list.
ORDER = ["errors", "steps", "weight", "output", "question", "engine", "reading", "teaching"]
ORDER += ["result", "guess", "card", "machine", "catalogue", "delivery", "models", "presets"]
ORDER += ["study", "doctor", "following", "sets", "continuing", "many", "views", "report"]
ORDER += ["worksheets", "checks", "commands", "__main__"]

# Room (a file, or all files of a folder) -> what is not there once it has been imported. Those of
# a list are imported one after the other, so that torch has to be loaded only once.
LOADED = [
    {
        "core/steps.py": {"core.errors", "mingpt", "torch"},
        "core/errors.py": {"core.question", "mingpt", "torch"},
        "core/weight.py": {"core.question", "mingpt", "torch"},
        "core/output.py": {"core.question", "mingpt", "torch"},
        "core/question": {"torch", "mingpt.model"} | MODELS | DRAWING,
        "core/result.py": {"torch", "mingpt.model"} | MODELS | DRAWING,
        "core/guess.py": {"torch", "mingpt.model"} | MODELS | DRAWING,
        "core/views": {"torch", "mingpt.model"} | MODELS,
        "core/report": {"torch", "mingpt.model"} | MODELS,
    },
    {
        "mingpt": {"core"} | DRAWING,
        "core/engine": {"core.models", "core.result"} | TEXTS - {"mingpt.bpe"} | DRAWING,
        "core/reading": {"core.models", "core.result"} | TEXTS - {"mingpt.bpe"} | DRAWING,
        "core/teaching": {"core.models", "core.result"} | TEXTS - {"mingpt.bpe"} | DRAWING,
        "core/card.py": {"core.models"} | DRAWING,
        "core/catalogue.py": {"core.models"} | DRAWING,
        "core/delivery.py": {"core.models"} | DRAWING,
        "core/machine.py": {"core.models"} | DRAWING,
        "core/models.py": DRAWING,
        "core/presets.py": DRAWING,
        "core/study.py": DRAWING | {"core.views"},
        "core/doctor.py": DRAWING | {"core.views"},
        "core/following.py": DRAWING | {"core.views"},
        "core/sets.py": DRAWING | {"core.views"},
        "core/continuing.py": DRAWING | {"core.views"},
        "core/many": DRAWING | {"core.views"},
        "core/checks": DRAWING | {"core.views"},
        "core/worksheets": DRAWING,
        "core/commands": {"torch._dynamo"},
        "core/__main__.py": {"torch._dynamo"},
    },
]
# What the files of a room do not import themselves, whatever they load by way of others.
IMPORTED = {
    "core/engine": TEXTS,
    "core/reading": TEXTS,
    "pages": {"torch", "mingpt", "matplotlib", "app"},
    "app.py": {"torch", "mingpt", "core"},
}


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in it: `a.b` and, of `from a import b`, both."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(modules: set[str], forbidden: set[str]) -> set[str]:
    return {of for of in modules if any(f"{of}.".startswith(f"{room}.") for room in forbidden)}


def files_of(room: str) -> list[Path]:
    path = ROOT / room
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found, room
    return found


def imports_of(room: str) -> set[str]:
    sources = [path.read_text(encoding="utf-8") for path in files_of(room)]
    return {module for source in sources for module in imported(source)}


def modules_after(*statements: str) -> list[set[str]]:
    """What a fresh Python has loaded after each of some statements."""
    tell = "print(*sys.modules)"
    lines = [line for statement in statements for line in (statement, tell)]
    command = [sys.executable, "-c", "\n".join(["import sys", *lines])]
    printed = subprocess.check_output(command, text=True, cwd=ROOT)
    return [set(line.split()) for line in printed.splitlines()]


@cache
def loaded(chain: int) -> dict[str, set[str]]:
    """Room -> what is loaded once it has been imported, and those before it in its list."""

    def everything(room: str) -> str:
        paths = [path.relative_to(ROOT).with_suffix("") for path in files_of(room)]
        names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
        return "import " + ", ".join(names)

    rooms = LOADED[chain]
    return dict(zip(rooms, modules_after(*map(everything, rooms)), strict=True))


@pytest.mark.parametrize(
    ("chain", "room"), [(chain, room) for chain, rooms in enumerate(LOADED) for room in rooms]
)
def test_nothing_is_loaded_that_a_room_has_no_business_with(chain, room):
    modules = loaded(chain)[room]
    assert room.removesuffix(".py").replace("/", ".") in modules
    assert not trespasses(modules, LOADED[chain][room] | THE_APP | CLUSTER)


@pytest.mark.parametrize("room", ORDER)
def test_imports_within_core_go_downwards_only(room):
    path = f"core/{room}" if (ROOT / "core" / room).is_dir() else f"core/{room}.py"
    above = {f"core.{name}" for name in ORDER[ORDER.index(room) + 1 :]}
    assert not trespasses(imports_of(path), above)


def test_every_room_of_core_has_its_place():
    rooms = {path.stem for path in (ROOT / "core").iterdir() if "__" not in path.name}
    assert rooms | {"__main__"} == set(ORDER)
    tables = {Path(room).stem for rooms in LOADED for room in rooms}
    assert tables == {*ORDER, "mingpt"}


@pytest.mark.parametrize("room", IMPORTED)
def test_a_room_imports_nothing_that_is_not_its_own(room):
    assert not trespasses(imports_of(room), IMPORTED[room])


@pytest.mark.parametrize(
    "source",
    ["import torch.nn as nn", "from torch import nn", "def late():\n    from torch.nn import *"],
)
def test_no_import_escapes_the_rule(source):
    assert trespasses(set(imported(source)), {"torch"})
    assert not trespasses(set(imported(source.replace("torch", "torchvision"))), {"torch"})
    assert trespasses(set(imported("from core import models")), {"core.models"})


def test_pairs_are_read_and_fitted_and_shards_are_merged_without_torch():
    (found,) = modules_after("from core.many import fitting, folder, packs, pairs")
    assert not trespasses(found, {"torch", "mingpt.model"} | MODELS | DRAWING | THE_APP)
    assert {"core.many.packs", "core.many.folder"} <= found


def test_what_a_first_visitor_waits_for_has_nothing_slow_in_it():
    """Half a second is matplotlib, two seconds are torch's compiler."""
    load = "from core import catalogue, models; models.load(catalogue.TEACHING)"
    load += "; from core.views import heatmaps"
    found = modules_after(load, "import colorsys")
    assert not trespasses(found[0], {"matplotlib", "torch._dynamo"})
    assert {"core.views.heatmaps", "torch"} <= found[0]
    assert "colorsys" in found[1] - found[0]  # what is loaded would be noticed
