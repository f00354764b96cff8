"""Figures: exact numbers on hover, tokens shown literally, colours that mean what they say."""

from dataclasses import replace

import numpy as np
import pytest

from core.question.metrics import METRICS
from core.result import Baseline, Result
from core.views.colours import BLUE, ORANGE, rgba
from core.views.heatmaps import difference, heatmap
from tests.builders import answer, asked, of_shape, with_tokens


def map_of(figure):
    return next(trace for trace in figure.data if trace.type == "heatmap")


def overlay_of(figure):
    return next(trace for trace in figure.data if trace.type == "scatter")


def with_baseline(result: Result, clean: float, corrupted: float, **changes) -> Result:
    baselines = result.baselines | {"logit_diff": Baseline(clean, corrupted)}
    return replace(asked(result, **changes), baselines=baselines)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_hover_has_the_exact_numbers_to_four_decimals(result, direction):
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
            *(f"{value:z.4f}" for value in (own, ld, ld - base, recovery)),
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
    """The middle of the scale is the unpatched run, and both sides reach equally far."""
    wanted = asked(result, metric=metric, direction=direction)
    trace, values = map_of(heatmap(wanted)), result.grids[metric]
    np.testing.assert_array_equal(np.array(trace.z), values)
    unpatched = getattr(wanted.baselines[metric], wanted.unpatched)
    assert (trace.zmin + trace.zmax) / 2 == pytest.approx(unpatched, abs=1e-6)
    assert trace.zmin - 1e-6 <= values.min() <= values.max() <= trace.zmax + 1e-6
    place, colour = trace.colorscale[1]
    assert place == 0.5
    assert colour.endswith(", 0.1)")  # all but transparent, on a light and on a dark page


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("clean", [-99, 99])
def test_blue_is_towards_the_run_that_was_put_in(result, direction, clean):
    """Its value is the farthest here: full blue, and as far on the other side full orange."""
    flat = replace(result, grids=result.grids | {"logit_diff": np.full_like(result.values, 0.5)})
    trace = map_of(heatmap(with_baseline(flat, clean, 0.5, direction=direction)))
    colours = {trace.zmin: trace.colorscale[0][1], trace.zmax: trace.colorscale[2][1]}
    put_in, without = (clean, 0.5) if direction == "denoise" else (0.5, clean)
    assert colours == {put_in: rgba(BLUE), 2 * without - put_in: rgba(ORANGE)}
    assert sorted(trace.colorbar.tickvals) == sorted((0.5, clean))


@pytest.mark.parametrize("direction", ["zero", "mean"])
@pytest.mark.parametrize("corrupted", [-99, 99])
def test_an_ablation_has_no_other_run(result, direction, corrupted):
    """Blue is above the clean run, orange below; the strongest cell alone decides how far."""
    clean, strongest = 0.5, np.abs(result.values - 0.5).max()
    trace = map_of(heatmap(with_baseline(result, clean, corrupted, direction=direction)))
    assert [trace.zmin, trace.zmax] == pytest.approx([clean - strongest, clean + strongest])
    assert [trace.colorscale[end][1] for end in (0, 2)] == [rgba(ORANGE), rgba(BLUE)]
    ends = [f"{value:z.4g}" for value in (trace.zmin, trace.zmax)]
    assert list(trace.colorbar.ticktext) == [ends[0], "clean<br>0.5", ends[1]]
    assert list(trace.colorbar.tickvals) == [trace.zmin, clean, trace.zmax]


def test_names_too_close_to_stand_side_by_side_stand_over_each_other(result):
    bar = map_of(heatmap(with_baseline(result, 0.5, 0.501))).colorbar
    assert list(bar.ticktext) == ["clean 0.5<br>corrupted 0.501"]
    assert list(bar.tickvals) == [0.501]


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


def test_a_long_text_has_not_more_labels_than_can_be_read(result):
    labels = heatmap(of_shape(result, 12, 1000)).layout.xaxis.ticktext
    assert 30 < len(labels) <= 64


@pytest.mark.parametrize("positions", [1, 18, 24, 96, 203, 1024])
def test_the_position_numbers_above_find_room_side_by_side(result, positions):
    """Lying down and close together they would run into the labels of the colour bar."""
    above = heatmap(of_shape(result, 2, positions)).layout.xaxis2
    numbers = list(above.tickvals)
    assert above.tickangle == 0
    assert len(numbers) * len(str(positions - 1)) <= 36
    assert numbers[0] == 0 and len(set(np.diff(numbers))) <= 1
    if positions <= 18:
        assert numbers == list(range(positions))
