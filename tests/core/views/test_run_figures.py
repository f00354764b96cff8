"""Figures of runs; and of every Plotly figure there is, that texts are shown as they are."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from core.question.tokens import Token
from core.reading.attribution import Attribution
from core.reading.lens import LogitLens
from core.reading.trace import Trace
from core.result import Ranked
from core.views import heatmaps, run_figures
from core.views.colours import (
    BLUE,
    DARK,
    LIGHT,
    ORANGE,
    PURPLE,
    SOLID_STRENGTH,
    TEXT,
    at,
    contrast,
    hexadecimal,
    rgba,
)
from core.views.words import probability
from tests.builders import with_tokens

ROWS = ("embedding", "0")
ODD = (Token(1, '"%{x}'), Token(2, "it's<b>"))  # one for each of two positions
SHOWN = ('"&#37;{x}', "it's&lt;b&gt;")
TOP = tuple(Ranked(n, token, 0.0, 0.1) for n, token in enumerate((*ODD, ODD[1]), start=1))
LENS = LogitLens(
    top_ids=torch.tensor([[1, 2], [2, 1]]),
    top_probs=torch.tensor([[0.1, 0.2], [0.3, 0.4]]),
    logits=torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    ranks=torch.tensor([[11, 12], [13, 14]]),
)
TRACE = Trace(
    base=0.0,
    patched=1.0,
    by_layer={name: torch.tensor([0.0, 1.0]) for name in ("base", "source", "patched")},
    parts={},
    readers=torch.zeros(1, 2),
)
PARTS = Attribution(1.0, torch.ones(2, 3), torch.ones(2), torch.ones(2), 0.5, 12.5)


def figures(result) -> dict[Callable, go.Figure]:
    """One of each figure that shows a text, of texts that something or other would change."""
    odd = with_tokens(result, [token.text for token in ODD] + ["."] * 5)
    odd = replace(odd, experiment=replace(odd.experiment, metric="prob_diff"))
    arguments = {
        heatmaps.heatmap: [odd],
        heatmaps.difference: [odd, odd],
        run_figures.bars: [TOP, BLUE],
        run_figures.attention_map: [np.eye(2), ODD],
        run_figures.lens_map: [LENS, ROWS, ODD, [list(ODD)] * 2],
        run_figures.lens_lines: [{"clean": LENS}, ROWS, ODD],
    }
    return {function: function(*of) for function, of in arguments.items()}


def strings(value) -> list[str]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in strings(one)]
    return [value] if isinstance(value, str) else []


def test_every_figure_shows_quotes_and_markup_as_they_are(result):
    for function, figure in figures(result).items():
        texts = strings(json.loads(figure.to_json()))
        for odd in SHOWN:
            assert any(odd in text for text in texts), function
        for text in texts:
            assert not any(wrong in text for wrong in ("&quot;", "&#x27;", "%{x}", "s<b>")), text


def test_no_figure_is_forgotten(result):
    public = {
        function
        for module in (heatmaps, run_figures)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__annotations__.get("return") in (go.Figure, "go.Figure")
    }
    show_no_text = {
        heatmaps.cells,
        heatmaps.dressed,
        heatmaps.grid_of_layers,  # of texts that are Plotly's already
        run_figures.heads_map,
        run_figures.trace_lines,
    }
    assert public == {*figures(result), *show_no_text, run_figures.attribution_layers}


def test_the_bars_are_the_table_and_equal_tokens_keep_their_own(result):
    top = result.top["clean"]
    trace = run_figures.bars(top, PURPLE).data[0]
    assert trace.marker.color == rgba(PURPLE)
    assert list(zip(trace.y, trace.x, strict=True)) == [(row.rank, row.prob) for row in top]
    assert list(trace.customdata) == [
        f"<b>{row.token.label}</b> (id {row.token.id})<br>probability {probability(row.prob)}"
        f"<br>logit {row.logit:.4f}"
        for row in top
    ]
    equal = run_figures.bars(TOP, BLUE)
    assert list(equal.layout.yaxis.ticktext) == [*SHOWN, SHOWN[1]]
    assert len(set(equal.data[0].y)) == 3


def test_the_lines_of_the_lens_are_the_tokens_layer_by_layer_in_the_colours_of_the_runs():
    other = replace(LENS, logits=LENS.logits + 10)
    lines = run_figures.lens_lines({"clean": LENS, "corrupted": other}, ROWS, ODD).data
    assert [line.name for line in lines] == [
        f"{name}, {run} run" for run in ("clean", "corrupted") for name in SHOWN
    ]
    assert [line.line.color for line in lines] == [rgba(BLUE)] * 2 + [rgba(ORANGE)] * 2
    assert [line.line.dash for line in lines] == ["solid", "dash"] * 2
    assert [list(line.y) for line in lines] == [[1, 3], [2, 4], [11, 13], [12, 14]]
    assert lines[1].customdata[0] == "<b>embedding</b><br>logit 2.0000<br>rank 12"
    assert lines[0].customdata[1] == "<b>layer 0</b><br>logit 3.0000<br>rank 13"


@pytest.mark.parametrize(
    ("unpatched", "other", "lines"),
    [
        ("corrupted", "clean", {"corrupted run": ORANGE, "clean run": BLUE}),
        ("clean", None, {"clean run": BLUE}),
    ],
)
def test_a_trace_has_the_runs_there_are_in_their_own_colours(unpatched, other, lines):
    by_layer = {name: line for name, line in TRACE.by_layer.items() if other or name != "source"}
    figure = run_figures.trace_lines(replace(TRACE, by_layer=by_layer), ROWS, unpatched, other)
    shown = {line.name: line.line.color for line in figure.data}
    assert shown == {name: rgba(rgb) for name, rgb in (lines | {"patched run": PURPLE}).items()}


def test_what_speaks_for_the_target_is_blue():
    """Below 0 is a logit difference that speaks for the target."""
    shown = run_figures.heads_map(np.array([[-2.0, 1.0]])).data[0]
    assert (shown.zmin, shown.zmax) == (-2, 2)
    assert [shown.colorscale[end][1] for end in (0, 2)] == [rgba(BLUE), rgba(ORANGE)]


def test_the_parts_of_an_attribution_stand_in_the_order_of_the_model_and_blue_is_the_target():
    parts = replace(PARTS, mlp=torch.tensor([-1.0, 2.0]))
    figure = run_figures.attribution_layers(parts)
    assert list(figure.layout.xaxis.categoryarray) == ["embedding", "0", "1", "final bias"]
    assert {bar.name: list(bar.y) for bar in figure.data} == {
        "attention": [4, 4],  # three heads and the bias
        "MLP": [-1, 2],
        "other": [1, 0.5],
    }
    assert list(figure.data[1].marker.color) == [rgba(BLUE), rgba(ORANGE)]
    assert list(figure.data[1].customdata) == ["layer 0, MLP", "layer 1, MLP"]


def test_a_text_on_a_cell_can_be_read():
    """The likeliest tokens stand on the lens's colours, dark on pale ones and light on blue."""
    probs = torch.tensor([[0.0, 1.0], [0.3, 0.6]])
    cells, texts = run_figures.lens_map(
        replace(LENS, top_probs=probs), ROWS, ODD, [list(ODD)] * 2
    ).data
    assert [opacity for _, _, opacity in SOLID_STRENGTH] == [1, 1]
    assert [colour for _, colour in cells.colorscale] == [rgba(c) for _, c, _ in SOLID_STRENGTH]
    assert list(texts.text) == [*SHOWN, *SHOWN]
    assert list(zip(texts.y, texts.x, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for colour, prob in zip(texts.textfont.color, probs.ravel().tolist(), strict=True):
        written = next(named for named in (DARK, LIGHT) if rgba(named) == colour)
        assert contrast(written, at(SOLID_STRENGTH, prob)[0]) >= 4.5


def test_all_figures_have_texts_to_be_read_and_no_camera(result):
    for function, figure in figures(result).items():
        layout = figure.layout
        assert "toimage" in layout.modebar.remove, function
        fonts = [layout.font, layout.xaxis.tickfont, layout.yaxis.tickfont, layout.legend.font]
        fonts += [layout.xaxis.title.font, layout.yaxis.title.font]
        assert {font.color for font in fonts} == {hexadecimal(TEXT)}, function


@pytest.mark.parametrize("tokens", [5, 30, 120])
def test_tokens_below_find_room(tokens):
    figure = run_figures.attention_map(np.eye(tokens), ODD[:1] * tokens)
    assert all(np.diff(figure.layout.xaxis.tickvals) * 280 / tokens >= 14)
    assert len(figure.layout.yaxis.tickvals) == tokens
