"""Figures: exact numbers on hover, tokens shown literally, colours that mean what they say."""

from dataclasses import replace

import numpy as np
import pytest

from core.question.metrics import METRICS
from core.result import Baseline, Result
from core.views.colours import BLUE, ORANGE, rgba
from core.views.heatmaps import difference, heatmap
from tests.builders import HOSTILE, experiment, finished, of_shape, with_tokens


def asked(result: Result, **changes) -> Result:
    return replace(result, experiment=experiment(**changes))


def map_of(figure):
    return next(trace for trace in figure.data if trace.type == "heatmap")


def overlay_of(figure):
    return next(trace for trace in figure.data if trace.type == "scatter")


# --- What a cell says ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_the_map_shows_the_values_of_the_metric(result, metric):
    shown = map_of(heatmap(asked(result, metric=metric)))
    np.testing.assert_array_equal(np.array(shown.z), result.grids[metric])


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_hover_has_the_exact_numbers_to_four_decimals(result, direction):
    wanted = asked(result, metric="target_prob", direction=direction)
    trace = overlay_of(heatmap(wanted))
    baselines = result.baselines["logit_diff"]
    base = baselines.corrupted if direction == "denoise" else baselines.clean
    for number, fields in enumerate(trace.customdata):
        row, position = divmod(number, 7)
        assert (trace.y[number], trace.x[number]) == (row, position)
        ld = result.grids["logit_diff"][row, position]
        assert list(fields) == [
            str(row),
            str(position),
            f"layer {row}",
            result.clean[position].label,
            result.corrupted[position].label,
            f"{result.grids['target_prob'][row, position]:z.4f}",
            f"{ld:z.4f}",
            f"{ld - base:z.4f}",
            f"{result.grids['recovery'][row, position]:z.4f}",
        ]
    template = trace.hovertemplate
    assert "<b>P(·Lee): %{customdata[5]}</b>" in template
    assert "logit(·Poe) - logit(·Lee): %{customdata[6]}" in template
    assert "recovery: %{customdata[8]}" in template
    side = "corrupted" if direction == "denoise" else "clean"
    assert f"change against the {side} run: %{{customdata[7]}}" in template


def test_a_recovery_that_could_not_be_measured_is_not_in_the_hover(result):
    grids = {name: grid for name, grid in result.grids.items() if name != "recovery"}
    trace = overlay_of(heatmap(replace(result, grids=grids)))
    assert len(trace.customdata[0]) == 7
    assert "recovery" not in trace.hovertemplate


def test_the_embedding_row_is_named(loaded):
    wanted = experiment(embedding=True)
    figure = heatmap(finished(wanted, loaded).read(wanted))
    assert list(figure.layout.yaxis.ticktext) == ["embedding", "0", "1", "2"]
    assert [fields[2] for fields in overlay_of(figure).customdata[::7]] == [
        "embedding", "layer 0", "layer 1", "layer 2",
    ]  # fmt: skip


def test_a_hover_names_every_layer_of_a_window(result):
    fields = overlay_of(heatmap(asked(result, window=1))).customdata
    assert [row[2] for row in fields[::7]] == ["layers 0 to 1", "layers 0 to 2", "layers 1 to 2"]


def test_a_hover_over_heads_at_a_position_says_which(loaded):
    wanted = experiment(site="head_z_position")
    heads = finished(wanted, loaded).read(wanted).at(-2)
    template = overlay_of(heatmap(heads)).hovertemplate
    assert template.startswith("<b>%{customdata[2]}, head %{customdata[1]} at position 5</b>")


def test_layers_go_down_from_the_first(result):
    top, bottom = heatmap(result).layout.yaxis.range
    assert bottom < top
    assert list(heatmap(result).layout.yaxis.ticktext) == ["0", "1", "2"]


# --- Tokens -------------------------------------------------------------------------------------


def test_tokens_are_escaped_wherever_they_stand(result):
    odd = with_tokens(result, ["<script>", "<b>&", *HOSTILE[2:7]])
    figure = heatmap(asked(odd, metric="target_prob"))
    text = figure.to_json()
    assert "<script>" not in text and "<b>&<" not in text
    # Plotly escapes < in its JSON; what is left to check are the strings themselves.
    assert figure.layout.xaxis.ticktext[0].endswith("&lt;script&gt;")
    assert overlay_of(figure).customdata[0][3] == "&lt;script&gt;"
    assert "P(&lt;script&gt;)" in overlay_of(figure).hovertemplate
    assert "<script>" not in overlay_of(figure).hovertemplate
    assert "&lt;script&gt;" in map_of(figure).colorbar.title.text


def test_equal_tokens_keep_their_own_columns(result):
    figure = heatmap(with_tokens(result, ["the"] * 7))
    assert list(figure.layout.xaxis.tickvals) == list(range(7))
    assert set(overlay_of(figure).x) == set(range(7))
    assert map_of(figure).x is None  # counted, not named: names that are equal would merge


def test_a_position_where_the_texts_differ_shows_both_tokens(result):
    labels = heatmap(result).layout.xaxis.ticktext
    assert list(labels[:3]) == ["Anna", "·Lee<br>·Poe", "·met"]


# --- Colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("metric", METRICS)
def test_no_colour_means_no_effect(result, metric, direction):
    """The middle of the scale is the unpatched run, and both sides reach equally far."""
    wanted = asked(result, metric=metric, direction=direction)
    trace = map_of(heatmap(wanted))
    unpatched = getattr(wanted.baselines[metric], wanted.unpatched)
    assert (trace.zmin + trace.zmax) / 2 == pytest.approx(unpatched, abs=1e-6)
    assert trace.zmin <= result.grids[metric].min() + 1e-6
    assert trace.zmax >= result.grids[metric].max() - 1e-6
    place, colour = trace.colorscale[1]
    assert place == 0.5
    assert colour.endswith(", 0.1)")  # all but transparent, on a light and on a dark page


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("clean", [-99, 99])
def test_blue_is_towards_the_run_that_was_put_in(result, direction, clean):
    """Its value is the farthest here: full blue, and as far on the other side full orange."""
    wanted = replace(
        asked(result, direction=direction),
        baselines=result.baselines | {"logit_diff": Baseline(clean, 0.5)},
        grids=result.grids | {"logit_diff": np.full_like(result.values, 0.5)},
    )
    trace = map_of(heatmap(wanted))
    colours = {trace.zmin: trace.colorscale[0][1], trace.zmax: trace.colorscale[2][1]}
    put_in, without = (clean, 0.5) if direction == "denoise" else (0.5, clean)
    assert colours == {put_in: rgba(BLUE), 2 * without - put_in: rgba(ORANGE)}
    assert sorted(trace.colorbar.tickvals) == sorted((0.5, clean))


@pytest.mark.parametrize("direction", ["zero", "mean"])
@pytest.mark.parametrize("corrupted", [-99, 99])
def test_an_ablation_has_no_other_run(result, direction, corrupted):
    """Blue is above the clean run, orange below; the strongest cell alone decides how far."""
    clean, strongest = 0.5, np.abs(result.values - 0.5).max()
    baselines = result.baselines | {"logit_diff": Baseline(clean, corrupted)}
    wanted = replace(asked(result, direction=direction), baselines=baselines)
    trace = map_of(heatmap(wanted))
    assert [trace.zmin, trace.zmax] == pytest.approx([clean - strongest, clean + strongest])
    assert [trace.colorscale[end][1] for end in (0, 2)] == [rgba(ORANGE), rgba(BLUE)]
    ends = [f"{value:z.4g}" for value in (trace.zmin, trace.zmax)]
    assert list(trace.colorbar.ticktext) == [ends[0], "clean<br>0.5", ends[1]]
    assert list(trace.colorbar.tickvals) == [trace.zmin, clean, trace.zmax]


def test_names_too_close_to_stand_side_by_side_stand_over_each_other(result):
    baselines = result.baselines | {"logit_diff": Baseline(0.5, 0.501)}
    bar = map_of(heatmap(replace(result, baselines=baselines))).colorbar
    assert list(bar.ticktext) == ["clean 0.5<br>corrupted 0.501"]
    assert list(bar.tickvals) == [0.501]


def test_a_grid_without_any_effect_can_be_drawn(result):
    flat = {name: np.zeros_like(grid) for name, grid in result.grids.items()}
    baselines = {name: Baseline(0.0, 0.0) for name in result.baselines}
    still = replace(result, grids=flat, baselines=baselines)
    trace = map_of(heatmap(still))
    assert trace.zmin < 0 < trace.zmax


def test_a_grid_that_is_not_finished_can_be_drawn(result):
    values = result.values.copy()
    values[:2] = np.nan
    partly = replace(result, grids=result.grids | {"logit_diff": values})
    trace = map_of(heatmap(partly))
    assert np.isfinite([trace.zmin, trace.zmax]).all()
    nothing = replace(result, grids=result.grids | {"logit_diff": values * np.nan})
    assert np.isfinite(map_of(heatmap(nothing)).zmax)


# --- Clicks -------------------------------------------------------------------------------------


def test_every_cell_can_be_clicked_and_the_map_itself_keeps_quiet(result):
    figure = heatmap(result)
    assert len(overlay_of(figure).x) == 21
    assert map_of(figure).hoverinfo == "skip"
    assert overlay_of(figure).marker.opacity == 0


def test_a_large_map_has_no_overlay_and_hovers_by_itself(result):
    figure = heatmap(of_shape(result, 50, 101))  # 5,050 cells
    assert not any(len(trace.x) for trace in figure.data if trace.type == "scatter")
    assert map_of(figure).hoverinfo is None
    assert map_of(figure).customdata[49][100][:2].tolist() == ["49", "100"]
    assert len(overlay_of(heatmap(of_shape(result, 50, 100))).x) == 5000


def test_a_map_that_need_not_be_clicked_hovers_by_itself(result):
    figure = heatmap(result, clickable=False)
    assert len(overlay_of(figure).x) == 0
    assert map_of(figure).hoverinfo is None
    clicked = overlay_of(heatmap(result)).customdata
    assert map_of(figure).customdata.reshape(21, -1).tolist() == clicked.tolist()


def test_a_difference_is_that_of_the_values_with_nothing_in_the_middle(result):
    other = replace(result, grids=result.grids | {"logit_diff": result.values - 0.25})
    figure = difference(result, other)
    np.testing.assert_allclose(np.array(map_of(figure).z), 0.25, rtol=1e-5)
    assert map_of(figure).zmin == -map_of(figure).zmax
    row, column, name, _, _, one, two, apart = map_of(figure).customdata[2, 4]
    assert (row, column, name) == ("2", "4", "layer 2")
    assert map_of(figure).hovertemplate.count("customdata[5]} - %{customdata[6]} = ") == 1
    assert float(one) - float(two) == pytest.approx(float(apart), abs=2e-4)


def test_the_selected_cell_is_outlined(result):
    assert not heatmap(result).layout.shapes
    for shape in heatmap(result, selected=(2, 4)).layout.shapes:
        assert (shape.x0, shape.x1, shape.y0, shape.y1) == (3.5, 4.5, 1.5, 2.5)
    assert heatmap(result, selected=(2, 4)).layout.shapes


def test_a_long_text_has_not_more_labels_than_can_be_read(result):
    labels = heatmap(of_shape(result, 12, 1000)).layout.xaxis.ticktext
    assert 30 < len(labels) <= 64


@pytest.mark.parametrize("positions", [1, 10, 18, 24, 96, 203, 1024])
def test_the_position_numbers_above_find_room_side_by_side(result, positions):
    """Lying down and close together they would run into the labels of the colour bar."""
    above = heatmap(of_shape(result, 2, positions)).layout.xaxis2
    numbers = list(above.tickvals)
    assert above.tickangle == 0
    assert len(numbers) * len(str(positions - 1)) <= 36
    assert numbers[0] == 0 and len(set(np.diff(numbers))) <= 1
    if positions <= 18:
        assert numbers == list(range(positions))
