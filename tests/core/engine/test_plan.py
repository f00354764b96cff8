"""Which runs a sweep has to compute, and which go together: no model is needed to say so."""

from itertools import product

import pytest

from core.engine.plan import Cell, Plan, Sizes, chunks, first_difference
from core.question.sites import SITES

L, C, H, T = 4, 8, 2, 6
SIZES = Sizes(L, C, 4 * C, H)


@pytest.mark.parametrize("differ", [0, 2, 6])
@pytest.mark.parametrize("site", SITES)
def test_every_cell_that_can_move_is_a_run_of_its_own(site, differ):
    plan = Plan(SIZES, T, differ, site)
    sizes = {"layer": L, "head": H, "position": T}
    assert plan.shape == tuple(sizes[axis] for axis in SITES[site].axes)
    moving = list(product(*map(range, plan.shape)))
    if "position" in SITES[site].axes or differ == T:
        moving = [index for index in moving if index[-1] >= differ]
    assert sorted(cell.index for cell in plan.cells) == moving
    starts = [cell.start for cell in plan.cells]
    assert starts == sorted(starts, reverse=True)
    for cell in plan.cells:
        place = dict(zip(SITES[site].axes, cell.index, strict=True))
        assert cell.start == place["layer"] + (site != "resid_pre")
        assert (cell.p, cell.lane) == (place.get("position", differ), place.get("head", 0))


def test_a_window_is_one_of_layers_and_ends_with_them():
    plan = Plan(SIZES, T=1, differ=0, embedding=True, window=1)
    assert plan.shape == (1 + L, 1)
    assert sorted(plan.cells) == [
        Cell((0, 0), start=0, p=0, lane=0, until=-1),  # the embedding, which has none
        Cell((1, 0), start=1, p=0, lane=0, until=1),
        Cell((2, 0), start=1, p=0, lane=0, until=2),
        Cell((3, 0), start=2, p=0, lane=0, until=3),
        Cell((4, 0), start=3, p=0, lane=0, until=3),
    ]


def test_what_a_site_does_not_have():
    with pytest.raises(ValueError, match="only resid_post has an embedding row, not attn_out"):
        Plan(SIZES, T, 0, "attn_out", embedding=True)
    with pytest.raises(ValueError, match="head_z has no windows"):
        Plan(SIZES, T, 0, "head_z", window=1)


@pytest.mark.parametrize("budget", [0, 4_000, 9_000, 30_000, 10**9])
def test_chunks_hold_all_runs_in_turn_and_no_more_than_the_budget(budget):
    plans = [Plan(SIZES, T, 2, window=1), Plan(SIZES, T, 6), Plan(SIZES, T, 0, "head_z_position")]
    parts = chunks(plans, budget)
    assert [run for part in parts for run in part.runs] == [
        (number, cell) for number, plan in enumerate(plans) for cell in plan.cells
    ]
    for part in parts:
        moving = [cell for _, cell in part.runs if cell.start < L]
        extent = part.extent
        assert (extent.R, extent.N) == (sum(T - cell.p for cell in moving), len(moving))
        assert sum(part.bytes) <= budget or extent.N == 1
    if budget < 10**9:  # and the budget is made use of
        assert len(parts) > 1
        assert budget == 0 or min(sum(part.bytes) for part in parts[:-1]) > budget / 2
    else:
        assert len(parts) == 1


def test_bytes_are_those_of_the_models_numbers():
    whole, half = (Plan(Sizes(L, C, 4 * C, H, itemsize), T, 0) for itemsize in (4, 2))
    assert whole.states_bytes == 2 * half.states_bytes == 4 * L * T * C
    (of_whole,), (of_half,) = chunks([whole]), chunks([half])
    assert of_whole.bytes[:2] == tuple(2 * size for size in of_half.bytes[:2])
    assert of_whole.bytes[0] == 4 * of_whole.extent.R * C


def test_texts_differ_from_the_first_other_token_on():
    assert first_difference((1, 2, 3), (1, 5, 3)) == 1
    assert first_difference((1, 2), (1, 2)) == 2
    with pytest.raises(ValueError, match="shorter"):
        first_difference((1, 2), (1,))
