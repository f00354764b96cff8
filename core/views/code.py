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

if TYPE_CHECKING:  # these need torch, and a program is text
    from core.catalogue import Entry
    from core.models import LoadedModel

# The functions that write a program, and what each is like.
WAYS = {"plain": "Plain, explained", "fast": "The fast way"}

_WIDTH = 88  # characters of a line of comment


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
    put_in, ablated = _ABLATIONS.get(e.direction, (f"that of the {other} run", ""))
    if (e.site, e.direction) == ("head_pattern", "position_mean"):
        ablated = _MEAN_PATTERN
    by_forward = e.site == "resid_post" and not e.window and not (ablated and e.embedding)
    kept = f'activations["{base if ablated else other}"][{"" if by_forward else "name, "}layer]'
    shows, measure = METRICS[e.metric], _MEASURES[e.metric]
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
        "start": _BOS if begins else "",
        "clean": (_AFTER_BOS if begins else _ALONE).format(repr(e.clean)),
        "corrupted": (_AFTER_BOS if begins else _ALONE).format(repr(e.corrupted)),
        "target": repr(e.target),
        "foil": repr(e.foil),
        "sizes": _SIZES if heads else _SIZES.replace("H, ", "").replace(_HEADS, ""),
        "spell": _SPELL_SOME if _has_unused(model) else _SPELL,
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
        "shape": ", ".join(axis[0].upper() for axis in axes).replace("P", "T"),
        "names": ", ".join(axes),
        "place": ", ".join(axes[1:]),
        "loops": "\n".join(_loops(axes)),
        "inside": "    " * len(axes),
        "shown": f"values[:, :, {-1 if position is None else position}]" if three else "values",
        "columns": "columns = range(H)" if heads else _TOKENS,
        "across": "head" if heads else "token",
        "rows": '["embedding", *range(L)]' if e.embedding else "range(L)",
        "formula": formula,
        "title": f"{e.site}, {e.direction}",
    }
    parts = [_BEGIN, _TEXTS, _FUNCTIONS]
    if by_forward:
        parts += [_RUNS, _LOOPS, *[_SWAPPED] * e.embedding]
    else:
        parts += [_FORWARD, _KEPT, _PATCHED, *[_INPUT] * e.embedding]
    return tuple(_cell(part, words) for part in (*parts, _PICTURE))


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
    return (_cell(_FAST, words),)


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
    sizes = {"layer": "L", "head": "H", "position": "T"}
    return [
        f"{'    ' * depth}for {axis} in range({sizes[axis]}):" for depth, axis in enumerate(axes)
    ]


# What each metric of `core.question.metrics` is, of the `logits` of a patched run; of the logit
# difference itself nothing more.
_MEASURES = {
    "logit_diff": "",
    "recovery": "(difference(logits) - difference(plain['corrupted'])) / (\n"
    "        difference(plain['clean']) - difference(plain['corrupted'])\n    )",
    "target_logit_change": "logits[target] - plain['clean'][target]",
    "target_prob": "logits.softmax(dim=0)[target]",
    "foil_prob": "logits.softmax(dim=0)[foil]",
    "prob_diff": "logits.softmax(dim=0)[foil] - logits.softmax(dim=0)[target]",
    "kl": "(plain['clean'].softmax(dim=0) * (plain['clean'].log_softmax(dim=0) -"
    " logits.log_softmax(dim=0))).sum()",
}

# What each ablation puts in, in words and of an activation of the clean run.
_ABLATIONS = {
    "zero": ("zeros", "return torch.zeros_like(activation)"),
    "position_mean": (
        "its own mean over the positions",
        "return activation.mean(dim=-2, keepdim=True).expand_as(activation)",
    ),
}
_MEAN_PATTERN = """\
seen = activation.mean(dim=-2, keepdim=True).expand_as(activation).tril()  # never a later one
    return seen / seen.sum(dim=-1, keepdim=True)"""

_BOS = "start = torch.tensor([[tokenizer.encoder.bos]])  # both texts begin with <|endoftext|>\n"
_AFTER_BOS, _ALONE = "torch.cat((start, tokenizer({})), dim=1)", "tokenizer({})"
_HEADS = "model.config.n_head, "
_SIZES = f"L, H, T = model.config.n_layer, {_HEADS}clean.shape[1]"
_SPELL = "return repr(tokenizer.decode(index[None]))"
_SPELL_SOME = f"""\
if index.item() not in tokenizer.encoder.decoder:
        return "(no token)"
    {_SPELL}"""
_TOKENS = """\
pairs = zip(clean[0], corrupted[0])
columns = [spelled(a) if a == b else f"{spelled(a)} / {spelled(b)}" for a, b in pairs]"""
_TOP = """
    print(f"\\n{run} run: position (rank), token index, token, probability")
    for rank, (p, index) in enumerate(zip(*plain[run].softmax(dim=0).topk(20)), start=1):
        print(f"{rank:3}  {index:6}  {spelled(index):20}  {100 * p:.4g}%")
for run, logits in plain.items():
    print(f"{run} run: LD {$difference(logits):.4f}$on_map")
"""

# The pieces of both programs: what is said, and the code with names to be filled in.
_BEGIN = (
    """Activation patching, one run for each cell. Two texts differ in a word, and two tokens
    compete to come next. In the $base run we replace, for $where, $what by $put_in, and measure
    what the model then predicts. Run this in Patchboard's folder, wherever the file lies.""",
    """
    ${stdlib}
    import matplotlib.pyplot as plt
    import torch

    sys.path.insert(0, ".")  # Patchboard's folder, in which this is run
    ${ours}from mingpt.bpe import BPETokenizer
    from mingpt.model import $from_model  # GPT-2, to be read

    torch.set_grad_enabled(False)  # nothing is trained here
    folder = $folder
    model, tokenizer = $load, BPETokenizer(folder)
    """,
)
_TEXTS = (
    """Both texts need the same number of tokens, so that a position of one is a position of the
    other. Target and foil are one token each, which within a text begins with its space.""",
    """
    ${start}clean = $clean
    corrupted = $corrupted
    [target] = tokenizer.encoder.encode($target)
    [foil] = tokenizer.encoder.encode($foil)
    assert clean.shape == corrupted.shape, (clean.shape, corrupted.shape)  # (1, T) each
    $sizes
    """,
)
_FUNCTIONS = (
    """A token as it is written, and the logit difference LD = logit(foil) - logit(target) of what a
    run says at its last position: below 0 the target is ahead, above 0 the foil.$shows""",
    """
    def spelled(index):
        $spell


    def $difference(logits):
        return logits[foil] - logits[target]$measure$ablated
    """,
)
_RUNS = (
    """Both texts once without a patch. With `store_activations` the model keeps the output of every
    layer: layer -> (1, T, C), C numbers for each of T positions. Softmax makes probabilities of the
    logits: these are the 20 tokens that are likeliest to come next.""",
    f"""
    activations, plain = {{}}, {{}}
    for run, ids in {{"clean": clean, "corrupted": corrupted}}.items():
        model(ids, store_activations=True)
        activations[run] = model.layer_activations
        plain[run] = model.last_token_logits[0]$float{textwrap.indent(_TOP, "    ")}
    """,
)
_FORWARD = (
    """`patch_params` of the model replaces the output of one layer at one position, and nothing
    else. So here is the forward pass of mingpt/model.py line by line, in which `put` is handed
    every activation under its name and gives back what goes on in its place.""",
    """
    def forward(ids, put):
        x = model.embed(ids)  # (1, T, C)
        later = torch.ones(T, T, dtype=torch.bool).triu(1)  # what a position may not see
        for layer, block in enumerate(model.transformer.h):
            x = put("resid_pre", layer, x)
            q, k, v = block.attn.qkv(block.ln_1(x))  # (1, H, T, C / H) each
            q, k, v = put("head_q", layer, q), put("head_k", layer, k), put("head_v", layer, v)
            scores = (q @ k.mT * block.attn.scale).masked_fill(later, -torch.inf)
            pattern = put("head_pattern", layer, scores.softmax(dim=-1))  # (1, H, T, T)
            z = put("head_z", layer, pattern @ v)
            x = x + put("attn_out", layer, block.attn.c_proj(merge_heads(z)))
            x = put("resid_mid", layer, x)
            x = x + put("mlp_out", layer, block.mlp(block.ln_2(x)))
            x = put("resid_post", layer, x)
        return model.lm_head(model.transformer.ln_f(x))[0, -1]$float
    """,
)
_KEPT = (
    """Both texts once, with a `put` that changes nothing and keeps what it is handed. Softmax makes
    probabilities of the logits: these are the 20 tokens that are likeliest to come next.""",
    f"""
    activations, plain = {{"clean": {{}}, "corrupted": {{}}}}, {{}}
    for run, ids in {{"clean": clean, "corrupted": corrupted}}.items():

        def keep(name, layer, activation):
            activations[run][name, layer] = activation
            return activation

        plain[run] = forward(ids, keep){textwrap.indent(_TOP, "    ")}
    """,
)
_LOOPS = (
    """The two loops: each cell of the map is one run of the $base text, in which one layer's output
    at one position is replaced before the next layer reads it.""",
    """
    values = torch.zeros(L, T)
    for layer in range(L):
        for position in range(T):
            patch = PatchParams(layer, position, $put[0, position])
            model($base, patch_params=patch)
            values[layer, position] = measure(model.last_token_logits[0]$float)
    """,
)
_SWAPPED = (
    """The map has one row more, before all layers: the embedding, which is what the first layer
    reads. At a position it is of that token alone, so that to patch it is to swap the token.""",
    """
    first = torch.zeros(1, T)
    for position in range(T):
        swapped = $base.clone()
        swapped[0, position] = $other[0, position]
        first[0, position] = measure(model(swapped)[0][0, -1]$float)
    values = torch.cat((first, values))
    """,
)
_PATCHED = (
    """Each cell of the map is one run of the $base text, with a `put` that replaces the activation
    that the cell is of$windowed.""",
    """
    def patched(site, layers, *place):
        def put(name, layer, activation):
            if name == site and layer in layers:
                activation = activation.clone()
                activation[0][place] = $put[0][place]
            return activation

        return measure(forward($base, put))


    values = torch.zeros($shape)
    $loops
    ${inside}values[$names] = patched($site, $layers, $place)
    """,
)
_INPUT = (
    """The map has one row more, before all layers: the embedding, which is what the first layer
    reads.""",
    """
    first = [patched("resid_pre", [0], position) for position in range(T)]
    values = torch.cat((torch.tensor([first]), values))
    """,
)
_PICTURE = (
    """The map, layers by ${across}s, as a picture in map.png.""",
    """
    $columns
    rows = $rows
    plt.figure(figsize=(3 + 0.4 * len(columns), 2 + 0.3 * len(rows)))  # inches
    plt.matshow($shown, fignum=0, aspect="auto")
    plt.colorbar(label="$formula")
    plt.xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    plt.yticks(range(len(rows)), rows)
    plt.gca().set(xlabel="$across", ylabel="layer", title="$title")
    plt.savefig("map.png", bbox_inches="tight")
    """,
)
_FAST = (
    """The same map the fast way, as Patchboard's app computes it: what patched runs have in common
    is computed once. Run this in Patchboard's folder, wherever the file lies.""",
    """
    import sys

    sys.path.insert(0, ".")
    from core import catalogue, models
    from core.question.experiment import Experiment
    from core.study import Study
    from core.views.pictures import picture

    asked = Experiment(
    $asked
    )
    study = Study(asked, models.load(catalogue.find($model)$dtype))
    for fraction in study:  # both plain runs, then every cell
        print(f"{fraction:.0%}", end="\\r")
    print()
    result = study.read(asked)
    print(result.values)  # $axes
    with open("map.png", "wb") as file:
        file.write(picture($shown, "png"))
    """,
)
