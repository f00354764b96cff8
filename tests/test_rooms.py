"""Imports go one way, mingpt <- core <- pages and app, and every room keeps to what is its own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THE_APP = {"streamlit", "pages", "app"}
DRAWING = {"plotly", "matplotlib"}

# What code that goes from token ids to numbers has no business with.
BEYOND_THE_NETWORK = {
    *(
        "core.question.experiment",
        "core.question.tokens",
        "core.question.pair",
        "core.models",
        "core.study",
        "core.result",
    ),
    *("mingpt.bpe", "mingpt.hub", "mingpt.checkpoint"),
} | DRAWING

# Room (a file, or all files of a folder) -> what it may not import, whole packages or modules.
RULES = {
    "mingpt": {"core", "pandas", "plotly", "matplotlib"} | THE_APP,
    "core": {"transformers", "pandas"} | THE_APP,
    "core/patching.py": BEYOND_THE_NETWORK,
    "core/suffix.py": BEYOND_THE_NETWORK | {"core"},
    "core/sites.py": BEYOND_THE_NETWORK | {"core"},
    "core/lens.py": BEYOND_THE_NETWORK,
    "core/preview.py": BEYOND_THE_NETWORK,
    "core/metrics.py": {"core.question.pair", "core.question.tokens", "core.models", "mingpt"}
    | DRAWING,
    "core/tokens.py": {"torch", "core.models", "core.engine.patching", "mingpt.model"},
    "core/pair.py": {"torch", "core.models", "core.engine.patching", "mingpt.model"},
    "core/experiment.py": {"torch", "mingpt", "core.models", "core.question.pair"},
    "core/result.py": {"torch", "mingpt", "core.models", "core.engine.patching"} | DRAWING,
    "core/looks.py": {"torch", "mingpt", "core.models", "core.engine.patching", "core.study"}
    | DRAWING,
    "core/figures.py": {"torch", "mingpt", "core.models", "core.engine.patching", "core.study"},
    "core/picture.py": {"torch", "mingpt", "core.models", "core.engine.patching", "core.study"},
    "core/exports.py": {"torch", "mingpt", "core.models", "core.engine.patching", "core.study"}
    | DRAWING,
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


def trespasses(source: str, forbidden: set[str]) -> list[str]:
    return [
        module
        for module in imported(source)
        if any(module == room or module.startswith(room + ".") for room in forbidden)
    ]


def files_of(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_nothing_that_is_not_below_it(room):
    assert files_of(room)
    found = {
        str(path.relative_to(ROOT)): trespasses(path.read_text(encoding="utf-8"), RULES[room])
        for path in files_of(room)
    }
    assert not {path: modules for path, modules in found.items() if modules}


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch.nn as nn",
        "from torch import nn",
        "from torch.nn import functional as F",
        "def late():\n    import torch",
        "if True:\n    from torch import *",
    ],
)
def test_no_import_escapes_the_rule(source):
    assert trespasses(source, {"torch"})
    assert not trespasses(source.replace("torch", "torchvision"), {"torch"})


def test_a_module_imported_from_its_package_is_found():
    assert trespasses("from core import models", {"core.models"})
    assert not trespasses("from core import modelsmith", {"core.models"})


def modules_after(statement: str) -> set[str]:
    """What a fresh Python has loaded after a statement: modules, and the packages they are in."""
    tell = "import sys; print(*sys.modules, *{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{tell}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(ran.stdout.split())


def every_module(package: str) -> str:
    """A statement that imports all of a package, but for its programs."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files_of(package)
        if not path.stem.startswith("__")
    ]
    return "import " + ", ".join(names)


def test_core_runs_without_the_app():
    loaded = modules_after(every_module("core"))
    assert {"core", "mingpt", "torch"} <= loaded
    assert not loaded & (THE_APP | {"transformers", "pandas"})


def test_mingpt_stands_alone():
    loaded = modules_after(every_module("mingpt"))
    assert {"mingpt", "torch"} <= loaded
    assert not loaded & ({"core", "pandas", "transformers"} | THE_APP | DRAWING)


def test_what_a_first_visitor_waits_for_has_nothing_slow_in_it():
    """Half a second is matplotlib, two seconds are torch's compiler."""
    load = "from core import figures, models; models.load(models.TEACHING)"
    assert not modules_after(load) & {"matplotlib", "torch._dynamo"}
    assert "torch._dynamo" in modules_after("import torch._dynamo")


def test_what_is_loaded_would_be_noticed():
    assert "colorsys" in modules_after("import colorsys")
    assert "colorsys" not in modules_after("")
    assert "streamlit" in modules_after("import sys; sys.modules['streamlit.web'] = sys")
