"""The colour bar: its labels never meet, and it never flips."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.question.experiment import OF_ONE
from core.question.metrics import METRICS
from core.result import Baseline
from core.views.colour_bar import TIERS, VIEWS, marks, paint, runs_of
from core.views.colours import BLUE, GREY, SEQUENTIAL, at, limits, scale
from tests.builders import answer, asked

numbers = st.floats(-1e4, 1e4, allow_subnormal=False) | st.floats(-1, 1, allow_subnormal=False)


@given(middle=numbers, other=numbers, room=st.floats(28, 200), turned=st.booleans(), wider=numbers)
def test_labels_neither_meet_nor_stand_out_whatever_the_values(middle, other, room, turned, wider):
    reach = max(abs(other - middle), abs(wider), 1e-6 * max(1, abs(middle)))
    ends = (middle - reach, middle + reach)[:: -1 if turned else 1]
    runs = {"clean": middle, "corrupted": other}
    found = marks(ends, runs, room)
    zero = -ends[0] / (ends[1] - ends[0])
    if not 0 <= zero <= 1:
        assert len(found) == 4
    if 1e-4 < zero < 1 - 1e-4:  # else the end's own number says as much
        assert len(found) == 5
    for one, two in combinations(found, 2):
        (left, right), (other_left, other_right) = one.span(room), two.span(room)
        assert one.tier != two.tier or right < other_left or other_right < left
        assert 0 <= one.tier < TIERS
    for mark in found:
        left, right = mark.span(room)
        assert left >= -1e-6 and right <= room + 1e-6
    for run, value in runs.items():
        (mark,) = (mark for mark in found if mark.text.split()[0] == run)
        assert mark.at == pytest.approx((value - ends[0]) / (ends[1] - ends[0]), abs=1e-5)


def test_numbers_stand_at_both_ends_and_at_0_and_runs_at_their_values():
    found = marks((-3.0, 5.0), {"clean": -3.0, "corrupted": 1.0}, 60)
    assert [(mark.text, mark.at) for mark in found] == [
        *(("-3", 0), ("5", 1), ("0", 0.375), ("clean -3", 0), ("corrupted 1", 0.5))
    ]
    assert [mark.text for mark in marks((2.0, 5.0), {}, 60)] == ["2", "5"]


@pytest.mark.parametrize("direction", OF_ONE)
@pytest.mark.parametrize("values", [(-99, 99), (99, -99), (3, 3)])
@pytest.mark.parametrize("metric", METRICS)
def test_the_clean_run_is_always_on_the_left_and_blue_is_where_the_run_put_in_is(
    result, direction, values, metric
):
    baselines = result.baselines | {metric: Baseline(*map(float, values))}
    painting = paint(
        replace(asked(result, direction=direction, metric=metric), baselines=baselines)
    )
    places = {mark.text.split()[0]: mark.at for mark in painting.marks(60)}
    colours = {run: at(painting.scale, place)[0] for run, place in places.items()}
    if direction in ("zero", "position_mean"):  # which have the clean run alone: the numbers ascend
        assert painting.ends[0] < painting.ends[1]
        red, _, blue = zip(*(at(painting.scale, end)[0] for end in (0, 1)), strict=True)
        assert red[0] >= red[1] and blue[0] <= blue[1]  # orange below, blue above
        return
    assert places["clean"] <= places["corrupted"]
    if values[0] != values[1]:
        put_in, into = ("clean", "corrupted")[:: 1 if direction == "denoise" else -1]
        assert (colours[put_in], colours[into]) == (BLUE, GREY)
    assert np.all(np.diff(painting.limits) > 0)
    np.testing.assert_array_equal(painting.drawn, painting.sign * painting.result.values)


def test_the_view_of_the_assignment_has_the_layers_alone_from_the_lowest_to_the_highest(loaded):
    whole = answer(loaded, embedding=True, metric="kl")
    painting = paint(whole, "assignment")
    assert painting.result.rows == ("0", "1", "2")
    layers = whole.grids["logit_diff"][1:]
    np.testing.assert_array_equal(painting.drawn, layers)
    assert painting.ends == (layers.min(), layers.max())
    assert painting.scale == SEQUENTIAL
    assert list(VIEWS) == ["effect", "assignment"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_map_of_which_nothing_is_known_yet_can_be_painted(result, view):
    empty = replace(result, grids={"logit_diff": np.full_like(result.values, np.nan)})
    left, right = paint(empty, view).limits
    assert np.isfinite([left, right]).all() and left < right


@pytest.mark.parametrize("metric", METRICS)
def test_a_bar_shows_nothing_that_neither_the_map_nor_a_run_has(loaded, metric):
    """While a colour means the same as on the whole scale, as far on either side of no effect."""
    result = answer(loaded, metric=metric)
    baselines = result.baselines | {metric: Baseline(-0.4, 2.0)}
    result = replace(result, baselines=baselines)
    shown = [*result.values.ravel().tolist(), *runs_of(result).values()]
    painting = paint(result)
    assert sorted(painting.ends) == pytest.approx([min(shown), max(shown)])
    whole, (left, right) = scale(result), limits(result)
    for value in shown:
        here = (value - painting.ends[0]) / (painting.ends[1] - painting.ends[0])
        there = (value - left) / (right - left)
        colour, opacity = at(painting.scale, here)
        assert opacity == pytest.approx(at(whole, there)[1], abs=1e-6)
        np.testing.assert_allclose(colour, at(whole, there)[0], atol=1)


def test_a_shared_bar_ends_where_its_metric_does(loaded):
    assert paint(answer(loaded, metric="foil_prob"), reach=3.0).ends == (0, 1)
    assert sorted(paint(answer(loaded, metric="kl"), reach=99.0).ends)[0] == 0


def test_maps_beside_each_other_share_a_bar_that_shows_what_one_of_them_has(loaded):
    """And not the half of the scale that none of them uses."""
    one = answer(loaded, metric="recovery")
    grids = {"recovery": np.clip(one.values, 0, 1) * 3}
    other = replace(one, grids=one.grids | grids)
    shown = np.concatenate([one.values.ravel(), grids["recovery"].ravel(), [0, 1]])
    for of, beside in ((one, other), (other, one)):
        painting = paint(of, beside=[beside])
        assert sorted(painting.ends) == pytest.approx([shown.min(), shown.max()])
