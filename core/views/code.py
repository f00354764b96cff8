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
    by_forward = e.site == "resid_post" and not e.window
    base, other = ("corrupted", "clean") if e.direction == "denoise" else ("clean", "corrupted")
    ablates = e.direction in _ABLATIONS
    heads = axes[1] == "head"
    metric = METRICS[e.metric]
    formula = metric.formula.format(target="target", foil="foil")
    words = {
        "base": base,
        "other": other,
        "put_in": _ABLATIONS[e.direction][0] if ablates else f"that of the {other} run",
        "what": "the output of a layer" if by_forward else f"`{e.site}`",
        "where": " and ".join(f"each {axis}" for axis in axes),
        "formula": formula,
        "shows": "" if e.metric == "logit_diff" else f" The map shows {formula}. {metric.says}",
        "measure": _MEASURES[e.metric],
        "clean_text": repr(e.clean),
        "corrupted_text": repr(e.corrupted),
        "target_text": repr(e.target),
        "foil_text": repr(e.foil),
        "tokenize": _BOS if e.bos and not model.encoder.extras.begins else _TOKENIZE,
        "load": _load(model),
        "stdlib": _imports(model.entry)[0],
        "imports": _imports(model.entry)[1],
        "from_model": "GPT, PatchParams" if by_forward else "GPT, merge_heads",
        "spell": _SPELL_SOME if _has_unused(model) else _SPELL,
        "site": repr(e.site.removesuffix("_position")),
        "window": e.window,
        "place": ", ".join(axes[1:]),
        "names": ", ".join(axes),
        "shape": ", ".join({"layer": "L", "head": "H", "position": "T"}[axis] for axis in axes),
        "index": ", ".join(("0", *axes[1:])),
        "loops": "\n".join(_loops(axes)),
        "inside": "    " * len(axes),
        "run_put_in": f'activations["{base if ablates else other}"]',
        "embedded": f"ablated(model.embed({base}))" if ablates else f"model.embed({other})",
        "title": f"{e.site}, {e.direction}",
        "ablate": _ABLATIONS[e.direction][1] if ablates else "",
        "sizes": "L, H, T = model.config.n_layer, model.config.n_head, clean.shape[1]"
        if heads
        else "L, T = model.config.n_layer, clean.shape[1]",
        "shown": "values"
        if len(axes) == 2
        else f"values[:, :, {-1 if position is None else position}]",
        "columns": "range(H)" if heads else _TOKEN_LABELS,
        "across": "head" if heads else "token",
        "rows": '["embedding", *range(L)]' if e.embedding else "range(L)",
    }
    if e.site == "head_pattern" and e.direction == "position_mean":
        words["ablate"] = _MEAN_PATTERN
    parts = [_BEGIN, _TEXTS, _TOP]
    parts += [_RUNS if by_forward else _WRITTEN_OUT, _METRIC]
    parts += [_ABLATED] if ablates else [_PUT_IN]
    parts += [_LOOPS if by_forward else _PATCHED]
    parts += [_EMBEDDING] if e.embedding else []
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
    said = (f"{textwrap.fill(cell.says, _WIDTH, **comment)}\n{cell.code}\n" for cell in cells)
    return "\n\n".join(said)


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


def _imports(entry: Entry) -> tuple[str, str]:
    """What finding the weights takes, of Python's own and of ours."""
    if entry.checkpoint:
        return "import sys\n\n", "from core.teaching import WEIGHTS, history\n"
    if entry.base == "teaching":
        return "import sys\n\n", "from core.teaching import WEIGHTS\n"
    if entry.folder is None:
        return "import sys\n\n", "from mingpt import hub\n"
    return "import os\n" * _is_offered(entry) + "import sys\nfrom pathlib import Path\n\n", ""


def _load(model: LoadedModel) -> str:
    """Two names, `folder` and `model`, for every kind of model in the catalogue."""
    entry, dtype = model.entry, model.card.dtype
    kind = "" if dtype == "float32" else f"torch.{dtype}"
    if entry.checkpoint:
        at = f"{entry.checkpoint.seed}, {entry.checkpoint.step}"
        to = f".to({kind})" if kind else ""
        return f"folder = WEIGHTS\nmodel = history.load(history.Checkpoint({at})){to}"
    if entry.base == "teaching":
        folder = "WEIGHTS"
    elif entry.folder is None:
        folder = f"hub.fetch({_name(entry)!r})  # downloaded once"
    elif _is_offered(entry):
        folder = f'Path(os.environ["PATCHBOARD_MODELS"], {entry.folder.name!r})'
    else:
        folder = f"Path({entry.name!r})"
    return f"folder = {folder}\nmodel = GPT.from_pretrained(folder{', ' * bool(kind)}{kind})"


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


# What each metric of `core.question.metrics` is, of the `logits` of a patched run.
_MEASURES = {
    "logit_diff": "difference(logits)",
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

_TOKENIZE = "clean, corrupted = tokenizer(CLEAN), tokenizer(CORRUPTED)  # token ids, (1, T)"
_BOS = """\
start = torch.tensor([[tokenizer.encoder.bos]])  # both texts begin with <|endoftext|>
clean, corrupted = (torch.cat((start, tokenizer(text)), 1) for text in (CLEAN, CORRUPTED))"""
_SPELL = "    return repr(tokenizer.decode(torch.tensor([int(index)])))"
_SPELL_SOME = f"""\
    if int(index) not in tokenizer.encoder.decoder:
        return "(no token)"
{_SPELL}"""
_TOKEN_LABELS = """[
    spelled(a) if a == b else f"{spelled(a)} / {spelled(b)}"
    for a, b in zip(clean[0], corrupted[0])
]"""

# The pieces of both programs: what is said, and the code with names to be filled in.
_BEGIN = (
    """Activation patching, one run for each cell. Two texts differ in a word, and two tokens
    compete to come next. In the $base run we replace, for $where, $what by $put_in, and measure
    what the model then predicts. Run this in Patchboard's folder, wherever the file lies. First the
    model, GPT-2 as it is written in mingpt/model.py, and its tokenizer.""",
    """
    ${stdlib}import matplotlib.pyplot as plt
    import torch

    sys.path.insert(0, ".")  # Patchboard's folder, in which this is run
    ${imports}from mingpt.bpe import BPETokenizer
    from mingpt.model import $from_model

    torch.set_grad_enabled(False)  # nothing is trained here
    $load
    tokenizer = BPETokenizer(folder)
    """,
)
_TEXTS = (
    """Both texts need the same number of tokens, so that a position of one is a position of the
    other. Target and foil are one token each, with the space before it: within a text a word's
    token begins with its space.""",
    """
    CLEAN = $clean_text
    CORRUPTED = $corrupted_text
    TARGET = $target_text
    FOIL = $foil_text

    $tokenize
    [target], [foil] = tokenizer.encoder.encode(TARGET), tokenizer.encoder.encode(FOIL)
    assert clean.shape == corrupted.shape, (clean.shape, corrupted.shape)
    $sizes
    """,
)
_TOP = (
    """What a model expects next are its logits at the last position; softmax makes probabilities
    of them. This prints the 20 likeliest tokens.""",
    """
    def spelled(index):
    $spell


    def show_top(run, logits):
        print(f"\\n{run} run: position, token index, token, probability")
        top = logits.softmax(dim=0).topk(20)
        for position, (index, p) in enumerate(zip(top.indices, top.values), start=1):
            print(f"{position:3}  {int(index):6}  {spelled(index):20}  {p:.4f}")
    """,
)
_RUNS = (
    """Both texts once without a patch. With `store_activations` the model keeps the output of every
    layer: layer -> a tensor of one text, T positions and C channels.""",
    """
    activations, plain = {}, {}
    for name, ids in (("clean", clean), ("corrupted", corrupted)):
        model(ids, store_activations=True)
        activations[name] = model.layer_activations
        plain[name] = model.last_token_logits[0].float()
        show_top(name, plain[name])
    """,
)
_WRITTEN_OUT = (
    """`patch_params` of the model replaces the output of one layer at one position, and nothing
    else. So here is the forward pass of mingpt/model.py line by line, in which `put` is handed
    every activation under its name and gives back what goes on in its place. Both texts are run
    once with a `put` that changes nothing and keeps what it is handed.""",
    """
    def run(ids, put):
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
        return model.lm_head(model.transformer.ln_f(x))[0, -1].float()


    activations, plain = {"clean": {}, "corrupted": {}}, {}
    for name, ids in (("clean", clean), ("corrupted", corrupted)):

        def keep(site, layer, activation):
            activations[name][site, layer] = activation.clone()
            return activation

        plain[name] = run(ids, keep)
        show_top(name, plain[name])
    """,
)
_METRIC = (
    """The logit difference LD is logit(foil) - logit(target): below 0 the target is ahead, above 0
    the foil.$shows""",
    """
    def difference(logits):
        return logits[foil] - logits[target]


    def measure(logits):
        return $measure


    for name in plain:
        print(f"{name}: {difference(plain[name]):.4f}, on the map {measure(plain[name]):.4f}")
    """,
)
_PUT_IN = (
    """We patch into the $base run what the $other run has in the same place.""",
    """
    base, source = $base, $run_put_in
    """,
)
_ABLATED = (
    """We patch into the $base run itself: in place of each activation it gets $put_in.""",
    """
    def ablated(activation):
        $ablate


    base = $base
    source = {place: ablated(activation) for place, activation in $run_put_in.items()}
    """,
)
_LOOPS = (
    """The two loops: each cell of the map is one run of the $base text, in which one layer's output
    at one position is replaced before the next layer reads it.""",
    """
    values = torch.zeros(L, T)
    for layer in range(L):
        for position in range(T):
            patch = PatchParams(layer, position, source[layer][0, position])
            model(base, patch_params=patch)
            values[layer, position] = measure(model.last_token_logits[0].float())
    """,
)
_PATCHED = (
    """Each cell of the map is one run of the $base text, with a `put` that replaces the one
    activation the cell is of; with a WINDOW, also those of so many layers on either side, all in
    the same run.""",
    """
    SITE, WINDOW = $site, $window


    def patched($names):
        def put(site, at, activation):
            if site == SITE and abs(at - layer) <= WINDOW:
                activation = activation.clone()
                activation[$index] = source[site, at][$index]
            return activation

        return measure(run(base, put))


    values = torch.zeros($shape)
    $loops
    ${inside}values[$names] = patched($names)
    """,
)
_EMBEDDING = (
    """The map has one row more, before all layers: what is patched there is the input of the first
    one, the sum of token and position embedding. No layer puts that out, so the layers are run one
    by one.""",
    """
    embedding = $embedded
    first = torch.zeros(1, T)
    for position in range(T):
        x = model.embed(base).clone()
        x[0, position] = embedding[0, position]
        for block in model.transformer.h:
            x = block(x)
        first[0, position] = measure(model.lm_head(model.transformer.ln_f(x))[0, -1].float())
    values = torch.cat((first, values))
    """,
)
_PICTURE = (
    """The map, layers by ${across}s, as a picture in map.png.""",
    """
    shown = $shown
    rows = $rows
    columns = $columns
    size = min(40, 2 + 0.6 * len(columns)), min(40, 2 + 0.35 * len(rows))  # inches
    figure, axes = plt.subplots(figsize=size)
    picture = axes.matshow(shown, aspect="auto")
    figure.colorbar(picture, label="$formula")
    axes.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.set_ticks_position("bottom")
    axes.set(xlabel="$across", ylabel="layer", title="$title")
    figure.savefig("map.png", dpi=150, bbox_inches="tight")
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
