"""The code behind a map: a program that computes it with nothing but this repository.

It is written twice. The plain one is for reading: every patched run is a run of its own, the way it
is done with `GPT.forward` and two loops, explained as it goes; where `patch_params` does not reach
what is patched, the forward pass itself is written out. The fast one is what the app does. Both
give the map of the experiment, cell by cell, and each is a script or a notebook.

What a person has typed comes into a program only as the literal of a string, and never into its
comments.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, fields, replace
from string import Template
from typing import TYPE_CHECKING

from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.views import code_pieces as pieces

if TYPE_CHECKING:  # these need torch, and a program is text
    from core.catalogue import Entry
    from core.models import LoadedModel

# The functions that write a program, and what each is like.
WAYS = {"plain": "Plain, explained", "fast": "The fast way"}

_WIDTH = 88  # characters of a line of comment
_SIZES = {"layer": "L", "head": "model.config.n_head", "position": "T"}


@dataclass(frozen=True)
class Cell:
    """A piece of a program, and what to know before reading it."""

    says: str
    code: str


def plain(
    experiment: Experiment, model: LoadedModel, position: int | None = None
) -> tuple[Cell, ...]:
    """The program with a run for each cell. Where a map has three axes, its picture is that of
    `position`, by default the last. It leaves the map in `values`, a tensor by the site's axes,
    with the embedding's row, if the experiment has one, first."""
    e, axes = experiment, SITES[experiment.site].axes
    base, other = ("corrupted", "clean") if e.direction == "denoise" else ("clean", "corrupted")
    put_in, ablated = pieces.ABLATIONS.get(e.direction, (f"that of the {other} run", ""))
    if (e.site, e.direction) == ("head_pattern", "position_mean"):
        ablated = pieces.MEAN_PATTERN
    by_forward = e.site == "resid_post" and not e.window and not (ablated and e.embedding)
    kept = f'activations["{base if ablated else other}"][{"" if by_forward else "name, "}layer]'
    shows, measure = METRICS[e.metric], pieces.MEASURES[e.metric]
    formula = shows.formula.format(target="target", foil="foil")
    heads, three = axes[1] == "head", len(axes) == 3
    begins = e.bos and not model.encoder.extras.begins
    words = _loading(model) | {
        "base": base,
        "other": other,
        "put_in": put_in,
        "what": "the output of a layer" if by_forward else f"`{e.site}`",
        "where": " and ".join(f"each {axis}" for axis in axes),
        "from_model": "GPT, PatchParams" if by_forward else "GPT, merge_heads",
        "start": pieces.BOS if begins else "",
        "clean": (pieces.AFTER_BOS if begins else pieces.ALONE).format(repr(e.clean)),
        "corrupted": (pieces.AFTER_BOS if begins else pieces.ALONE).format(repr(e.corrupted)),
        "target": repr(e.target),
        "foil": repr(e.foil),
        "spell": pieces.SPELL_SOME if _has_unused(model) else pieces.SPELL,
        "float": "" if model.card.dtype == "float32" else ".float()",
        "shows": f" The map shows {formula}: `measure`. {shows.says}" if measure else "",
        "difference": "difference" if measure else "measure",
        "measure": f"\n\n\ndef measure(logits):\n    return {measure}" if measure else "",
        "on_map": ", on the map {measure(logits):.4f}" if measure else "",
        "ablated": f"\n\n\ndef ablated(activation):\n    {ablated}" if ablated else "",
        "put": f"ablated({kept})" if ablated else kept,
        "site": repr(e.site.removesuffix("_position")),
        "layers": f"range(layer - {e.window}, layer + {e.window + 1})" if e.window else "[layer]",
        "windowed": f", and with it {e.window} layers on either side" if e.window else "",
        "shape": ", ".join(map(_SIZES.get, axes)),
        "names": ", ".join(axes),
        "place": ", ".join(axes[1:]),
        "loops": "\n".join(_loops(axes)),
        "inside": "    " * len(axes),
        "shown": f"values[:, :, {-1 if position is None else position}]" if three else "values",
        "columns": "columns = range(values.shape[1])" if heads else pieces.TOKENS,
        "across": "head" if heads else "token",
        "rows": '["embedding", *range(L)]' if e.embedding else "range(L)",
        "formula": formula,
        "title": f"{e.site}, {e.direction}",
    }
    parts = [pieces.BEGIN, pieces.TEXTS, pieces.FUNCTIONS]
    if by_forward:
        parts += [pieces.RUNS, pieces.LOOPS, *[pieces.SWAPPED] * e.embedding]
    else:
        parts += [pieces.FORWARD, pieces.KEPT, pieces.PATCHED, *[pieces.INPUT] * e.embedding]
    return tuple(_cell(part, words) for part in (*parts, pieces.PICTURE))


def fast(
    experiment: Experiment, model: LoadedModel, position: int | None = None
) -> tuple[Cell, ...]:
    """The program that uses `core`; it leaves the map in `result.values`."""
    asked = replace(experiment, model=_name(model.entry))
    usual = {field.name: field.default for field in fields(Experiment)}
    given = {name: value for name, value in asdict(asked).items() if value != usual[name]}
    three = len(SITES[experiment.site].axes) == 3
    words = {
        "asked": "\n".join(f"    {name}={value!r}," for name, value in given.items()),
        "model": repr(_name(model.entry)),
        "dtype": "" if model.card.dtype == "float32" else f", dtype={model.card.dtype!r}",
        "shown": f"result.at({-1 if position is None else position})" if three else "result",
        "axes": " x ".join(f"{axis}s" for axis in SITES[experiment.site].axes),
    }
    return (_cell(pieces.FAST, words),)


def script(cells: tuple[Cell, ...]) -> str:
    """The program as one file of Python, what it says as comments."""
    comment = {"initial_indent": "# ", "subsequent_indent": "# "}
    source, before = "", ""
    for cell in cells:
        defines = "def" in (before[:3], cell.code[:3])  # of which others stand two lines apart
        source += "\n" * bool(before) + "\n" * defines
        source += f"{textwrap.fill(cell.says, _WIDTH, **comment)}\n{cell.code}\n"
        before = cell.code
    return source


def notebook(cells: tuple[Cell, ...]) -> str:
    """The program as a Jupyter notebook (nbformat 4.5), what it says as text between its cells."""
    made = []
    for cell in cells:
        made.append({"cell_type": "markdown", "source": cell.says})
        made.append({"cell_type": "code", "source": cell.code, "execution_count": None})
        made[-1]["outputs"] = []
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3"},
                "language_info": {"name": "python"},
            },
            "cells": [
                {"id": f"cell-{number}", "metadata": {}, **cell, "source": _lines(cell["source"])}
                for number, cell in enumerate(made)
            ],
        },
        indent=1,
    )


def _lines(text: str) -> list[str]:
    """As notebooks keep a text."""
    return text.splitlines(keepends=True)


def _cell(part: tuple[str, str], words: dict[str, object]) -> Cell:
    says, code = part
    code = Template(textwrap.dedent(code).strip("\n")).substitute(words)
    return Cell(" ".join(Template(says).substitute(words).split()), code)


def _name(entry: Entry) -> str:
    """By which the same weights are found again: of a repository that is the commit."""
    if entry.is_repository and entry.release:
        return replace(entry.of, revision=entry.release.revision).name
    return entry.name


def _loading(model: LoadedModel) -> dict[str, str]:
    """What it takes to load any model of the catalogue, and its tokenizer from its folder: what is
    imported, of Python's own and of ours, and where the weights are found."""
    entry, dtype = model.entry, model.card.dtype
    kind = "" if dtype == "float32" else f"torch.{dtype}"
    stdlib, ours, folder = "import sys\n", "", "WEIGHTS"
    load = f"GPT.from_pretrained(folder{', ' * bool(kind)}{kind})"
    if entry.checkpoint:
        ours = "from core.teaching import WEIGHTS, history\n"
        at = f"{entry.checkpoint.seed}, {entry.checkpoint.step}"
        load = f"history.load(history.Checkpoint({at})){f'.to({kind})' if kind else ''}"
    elif entry.base == "teaching":
        ours = "from core.teaching import WEIGHTS\n"
    elif entry.folder is None:
        ours = "from mingpt import hub\n"
        folder = f"hub.fetch({_name(entry)!r})  # downloaded once"
    else:
        stdlib += "from pathlib import Path\n"
        folder = f"Path({entry.name!r})"
        if _is_offered(entry):
            stdlib = f"import os\n{stdlib}"
            folder = f'Path(os.environ["PATCHBOARD_MODELS"], {entry.folder.name!r})'
    return {"stdlib": stdlib, "ours": ours, "folder": folder, "load": load}


def _is_offered(entry: Entry) -> bool:
    """Whether it is a folder that the app offers: where it lies is that server's business."""
    return entry.name == f"local/{entry.folder.name}" != str(entry.folder)


def _has_unused(model: LoadedModel) -> bool:
    """Whether the model has rows for ids that stand for no token."""
    return len(model.encoder.decoder) < model.gpt.config.vocab_size


def _loops(axes: tuple[str, ...]) -> list[str]:
    return [
        f"{'    ' * depth}for {axis} in range({_SIZES[axis]}):" for depth, axis in enumerate(axes)
    ]
