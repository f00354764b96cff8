"""Figures: exact numbers on hover, tokens shown literally, colours that mean what they say."""

import re
from dataclasses import replace

import numpy as np
import pytest

from core.question.metrics import METRICS
from core.result import Baseline, Result
from core.views.colour_bar import paint
from core.views.colours import BLUE, ORANGE
from core.views.heatmaps import difference, heatmap
from core.views.words import probability
from tests.builders import answer, asked, of_shape, with_tokens


def map_of(figure):
    return next(trace for trace in figure.data if trace.type == "heatmap")


def shade(trace, value) -> list[float]:
    """The red, green, blue and opacity that a value is drawn with."""
    places, colours = zip(*trace.colorscale, strict=True)
    channels = np.array([re.findall(r"[\d.]+", colour) for colour in colours], dtype=float).T
    place = (value - trace.zmin) / (trace.zmax - trace.zmin)
    return [float(np.interp(place, places, channel)) for channel in channels]


def overlay_of(figure):
    return next(trace for trace in figure.data if trace.type == "scatter")


def with_baseline(result: Result, clean: float, corrupted: float, **changes) -> Result:
    baselines = result.baselines | {"logit_diff": Baseline(clean, corrupted)}
    return replace(asked(result, **changes), baselines=baselines)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_hover_has_four_decimals_or_of_a_probability_its_digits(result, direction):
    wanted = asked(result, metric="target_prob", direction=direction)
    trace = overlay_of(heatmap(wanted))
    side = "corrupted" if direction == "denoise" else "clean"
    base = getattr(result.baselines["logit_diff"], side)
    for number, fields in enumerate(trace.customdata):
        row, position = divmod(number, 7)
        assert (trace.y[number], trace.x[number]) == (row, position)
        own, ld, recovery = (
            result.grids[name][row, position] for name in ("target_prob", "logit_diff", "recovery")
        )
        assert list(fields) == [
            *(str(row), str(position), f"layer {row}"),
            *(result.clean[position].label, result.corrupted[position].label),
            probability(own),
            *(f"{value:z.4f}" for value in (ld, ld - base, recovery)),
        ]
    for line in (
        "<b>P(·Lee): %{customdata[5]}</b>",
        "logit(·Poe) - logit(·Lee): %{customdata[6]}",
        f"change against the {side} run: %{{customdata[7]}}",
        "recovery: %{customdata[8]}",
    ):
        assert line in trace.hovertemplate


def test_a_recovery_that_could_not_be_measured_is_not_in_the_hover(result):
    grids = {name: grid for name, grid in result.grids.items() if name != "recovery"}
    trace = overlay_of(heatmap(replace(result, grids=grids)))
    assert len(trace.customdata[0]) == 7
    assert "recovery" not in trace.hovertemplate


def test_rows_are_named_from_the_first_layer_down_and_a_hover_says_all_of_a_window(loaded):
    figure = heatmap(answer(loaded, embedding=True, window=1))
    assert list(figure.layout.yaxis.ticktext) == ["embedding", "0", "1", "2"]
    bottom, top = figure.layout.yaxis.range
    assert top < bottom
    names = ["embedding", "layers 0 to 1", "layers 0 to 2", "layers 1 to 2"]
    assert [fields[2] for fields in overlay_of(figure).customdata[::7]] == names


def test_a_hover_over_heads_at_a_position_says_which(loaded):
    heads = answer(loaded, site="head_z_position").at(-2)
    template = overlay_of(heatmap(heads)).hovertemplate
    assert template.startswith("<b>%{customdata[2]}, head %{customdata[1]} at position 5</b>")


def test_equal_tokens_keep_their_own_columns_and_unequal_ones_are_both_shown(result):
    figure = heatmap(with_tokens(result, ["the"] * 7))
    assert list(figure.layout.xaxis.tickvals) == list(range(7))
    assert set(overlay_of(figure).x) == set(range(7))
    assert map_of(figure).x is None  # counted, not named: names that are equal would merge
    labels = heatmap(result).layout.xaxis.ticktext
    assert list(labels[:3]) == ["Anna", "·Lee<br>·Poe", "·met"]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("metric", METRICS)
def test_no_colour_means_no_effect(result, metric, direction):
    """And as much of it on either side of the unpatched run is as much of an effect."""
    wanted = asked(result, metric=metric, direction=direction)
    trace, sign = map_of(heatmap(wanted)), paint(wanted).sign
    values, unpatched = sign * result.grids[metric], sign * wanted.plain(metric)
    np.testing.assert_array_equal(np.array(trace.z), values)
    assert trace.meta == sign
    assert trace.zmin - 1e-6 <= values.min() <= values.max() <= trace.zmax + 1e-6
    # All but transparent, on a light and on a dark page.
    assert shade(trace, unpatched)[3] == pytest.approx(0.1, abs=1e-3)
    near = min(trace.zmax - unpatched, unpatched - trace.zmin)
    below, above = (shade(trace, unpatched + side * near)[3] for side in (-1, 1))
    assert below == pytest.approx(above, abs=1e-3)


def written(figure) -> dict[str, float]:
    """The labels of the colour bar and where they stand along it."""
    return {note.text: note.x for note in figure.layout.annotations}


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("clean", [-99, 99])
def test_blue_is_towards_the_run_that_was_put_in(result, direction, clean):
    """Its value is the farthest here: full blue; and what no cell has is not on the bar."""
    flat = replace(result, grids=result.grids | {"logit_diff": np.full_like(result.values, 0.5)})
    figure = heatmap(with_baseline(flat, clean, 0.5, direction=direction))
    trace = map_of(figure)
    put_in, without = (clean, 0.5) if direction == "denoise" else (0.5, clean)
    sign = 1 if clean < 0 else -1
    assert sorted((trace.zmin, trace.zmax)) == sorted((sign * put_in, sign * without))
    assert shade(trace, sign * put_in) == [*BLUE, 1]
    assert shade(trace, sign * without)[3] == pytest.approx(0.1)
    assert written(figure).items() >= {f"clean {clean}": 0.0, "corrupted 0.5": 1.0}.items()


@pytest.mark.parametrize("direction", ["zero", "position_mean"])
@pytest.mark.parametrize("corrupted", [-99, 99])
def test_an_ablation_has_no_other_run(result, direction, corrupted):
    """Blue is above the clean run, orange below; the strongest cell alone decides how far."""
    clean = 0.5
    figure = heatmap(with_baseline(result, clean, corrupted, direction=direction))
    trace = map_of(figure)
    shown = [clean, *result.values.ravel().tolist()]
    assert [trace.zmin, trace.zmax] == pytest.approx([min(shown), max(shown)])
    strongest = max(shown, key=lambda value: abs(value - clean))
    full = BLUE if strongest > clean else ORANGE
    assert shade(trace, strongest) == pytest.approx([*full, 1], abs=0.5)
    assert shade(trace, clean)[3] == pytest.approx(0.1, abs=1e-3)
    labels = written(figure)
    width = trace.zmax - trace.zmin
    assert labels.pop("clean 0.5") == pytest.approx((clean - trace.zmin) / width, abs=1e-5)
    if "0" in labels:
        assert labels.pop("0") == pytest.approx(-trace.zmin / width, abs=1e-5)
    assert labels == {f"{trace.zmin:z.4g}": 0, f"{trace.zmax:z.4g}": 1}


def test_the_labels_of_the_colour_bar_lie_between_it_and_what_is_above_the_cells(result):
    figure = heatmap(result)
    assert all(
        note.yanchor == "top" and note.yshift >= 22 + 14 for note in figure.layout.annotations
    )
    rows, top = len(result.rows), figure.layout.margin.t
    bar = map_of(figure).colorbar
    cell = (figure.layout.height - top - figure.layout.margin.b) / rows
    assert (bar.y - 1) * cell * rows + 1 < top and cell >= 14
    assert figure.layout.xaxis.automargin is False


def test_the_view_of_the_assignment_keeps_the_rows_of_the_result_in_clicks_and_hovers(loaded):
    result = answer(loaded, embedding=True, metric="kl")
    figure = heatmap(result, selected=(2, 4), view="assignment")
    assert list(figure.layout.yaxis.ticktext) == ["0", "1", "2"]
    np.testing.assert_array_equal(np.array(map_of(figure).z), result.grids["logit_diff"][1:])
    first = overlay_of(figure).customdata[0]
    assert list(first[:3]) == ["1", "0", "layer 0"]
    assert float(first[5]) == pytest.approx(result.grids["logit_diff"][1, 0], abs=1e-4)
    assert {(box.y0, box.x0) for box in figure.layout.shapes} == {(0.5, 3.5)}
    assert not heatmap(result, selected=(0, 4), view="assignment").layout.shapes


def test_no_figure_takes_pictures_by_itself(result):
    """They would not say what they are of: there are downloads."""
    assert "toimage" in heatmap(result).layout.modebar.remove


def test_every_cell_can_be_clicked_and_the_map_itself_keeps_quiet(result):
    figure = heatmap(result)
    assert len(overlay_of(figure).x) == 21
    assert map_of(figure).hoverinfo == "skip"
    assert overlay_of(figure).marker.opacity == 0


def test_a_map_that_cannot_or_need_not_be_clicked_hovers_by_itself(result):
    large = heatmap(of_shape(result, 50, 101))  # 5,050 cells
    assert map_of(large).customdata[49][100][:2].tolist() == ["49", "100"]
    assert len(overlay_of(heatmap(of_shape(result, 50, 100))).x) == 5000
    small = heatmap(result, clickable=False)
    clicked = overlay_of(heatmap(result)).customdata
    assert map_of(small).customdata.reshape(21, -1).tolist() == clicked.tolist()
    for figure in (large, small):
        assert len(overlay_of(figure).x) == 0
        assert map_of(figure).hoverinfo is None


def test_a_difference_is_that_of_the_values_with_nothing_in_the_middle(result):
    other = replace(result, grids=result.grids | {"logit_diff": result.values - 0.25})
    shown = map_of(difference(result, other))
    np.testing.assert_allclose(np.array(shown.z), 0.25, rtol=1e-5)
    assert shown.zmin == -shown.zmax
    row, column, name, _, _, one, two, apart = shown.customdata[2, 4]
    assert (row, column, name) == ("2", "4", "layer 2")
    assert shown.hovertemplate.count("customdata[5]} - %{customdata[6]} = ") == 1
    assert float(one) - float(two) == pytest.approx(float(apart), abs=2e-4)


def test_the_selected_cell_is_outlined(result):
    assert not heatmap(result).layout.shapes
    shapes = heatmap(result, selected=(2, 4)).layout.shapes
    assert {(box.x0, box.x1, box.y0, box.y1) for box in shapes} == {(3.5, 4.5, 1.5, 2.5)}


@pytest.mark.parametrize("narrowest", [200, 280])
@pytest.mark.parametrize("positions", [1, 5, 11, 18, 24, 96, 203, 1024])
def test_labels_find_room_on_the_narrowest_chart(result, positions, narrowest):
    figure = heatmap(of_shape(result, 2, positions), narrowest=narrowest)
    column = narrowest / positions
    numbers = list(figure.layout.xaxis2.tickvals)
    assert figure.layout.xaxis2.tickangle == 0
    assert numbers[0] == 0 and len(set(np.diff(numbers))) <= 1
    assert all(step * column > 6 * len(str(positions - 1)) for step in np.diff(numbers))
    labelled = list(figure.layout.xaxis.tickvals)
    assert all(step * column >= 14 for step in np.diff(labelled))
    assert len(labelled) >= min(positions, narrowest // 14 // 2)


def test_upright_labels_have_room_below_the_cells_wide_characters_more(result):
    def below(token: str) -> int:
        return heatmap(with_tokens(result, [token] * 7)).layout.margin.b

    assert below("a" * 12) >= 12 * 6
    assert below("日" * 12) >= 12 * 11
    assert below("a") < 40


def test_heads_are_numbered_once(loaded):
    layout = heatmap(answer(loaded, site="head_z")).layout
    assert list(layout.xaxis.ticktext) == ["0", "1"] and layout.xaxis.title.text == "head"
    assert not layout.xaxis2.tickvals


def test_a_long_question_is_folded_above_its_colour_bar(result):
    long = with_tokens(result, ["a" * 99, "b" * 99] + ["."] * 5)
    figure = heatmap(long)
    lines = map_of(figure).colorbar.title.text.split("<br>")
    assert len(lines) == 3 and max(map(len, lines)) <= 34
    assert figure.layout.margin.t > heatmap(result).layout.margin.t


def test_a_frame_around_a_cell_at_the_edge_is_within_the_figure(result):
    """Whose line is five pixels wide, half of them outside its cell, where Plotly cuts it off."""
    rows, columns = result.values.shape
    layout = heatmap(result, (rows - 1, columns - 1), narrowest=440).layout
    tall = layout.height - layout.margin.t - layout.margin.b
    for axis, cells, pixels in ((layout.xaxis, columns, 440), (layout.yaxis, rows, tall)):
        low, high = sorted(axis.range)
        for outside in (-0.5 - low, high - (cells - 0.5)):
            assert outside * pixels / (high - low) > 2.5
    assert layout.xaxis2.range == layout.xaxis.range
