"""A guess of a map comes out by the share of the way that each cell goes, and fits an address."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.guess import AWAY, NOTHING, TOWARDS, Guess, score
from core.result import Baseline
from tests import builders

CELLS = ((1, 0, -1, 0), (0, 0, 1, 1), (-1, 1, 0, 0))


@pytest.fixture(scope="module")
def model():
    return builders.loaded_model()


def result_of(model, values, clean=-3.0, corrupted=1.0, **asked):
    found = builders.answer(model, **asked)
    values = np.array(values, dtype=np.float32)
    return replace(
        found, grids={"logit_diff": values}, baselines={"logit_diff": Baseline(clean, corrupted)}
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (2, 5), (12, 15)])
def test_a_guess_is_read_back_from_what_is_written(shape):
    cells = np.random.default_rng(0).integers(-1, 2, shape)
    guess = Guess.of(cells)
    assert Guess.read(guess.written(), shape) == guess
    assert guess.written().replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("written", ["", "x", "&&", "AAAAAAAAAAAA", "é" * 8, "=" * 7])
def test_what_is_no_guess_of_this_map_is_refused(written):
    with pytest.raises(UserError, match="not one of a map of 3 rows and 4 columns") as refusal:
        Guess.read(written, (3, 4))
    assert refusal.value.field == "guess"


def test_painting_changes_the_cells_that_were_painted_and_no_others():
    guess = Guess.of(np.array(CELLS)).painted((2, 0), (1, 1), NOTHING).painted((0, 1), (0, 1), 1)
    assert guess.cells == ((1, 1, -1, 0), (0, 0, 1, 1), (0, 0, 0, 0))
    assert Guess.blank((2, 2)).is_blank and not guess.is_blank


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_cell_moves_if_it_goes_a_tenth_of_the_way_to_the_other_run(model, direction):
    base, other = (1.0, -3.0) if direction == "denoise" else (-3.0, 1.0)
    share = np.array([[1.0, 0.11, 0.09], [0.0, -0.09, -0.11]])
    found = result_of(model, base + share * (other - base), direction=direction)
    right = Guess(((TOWARDS, TOWARDS, NOTHING), (NOTHING, NOTHING, AWAY)))
    came = score(right, found)
    assert (came.share, came.surprises) == (1.0, ())
    assert came.of_nothing == pytest.approx(3 / 6)
    expected = np.corrcoef(np.ravel(right.cells), share.ravel())[0, 1]
    assert came.correlation == pytest.approx(expected, abs=1e-5)


def test_of_an_ablation_up_is_towards_and_the_strongest_cell_is_all_the_way(model):
    values = -3 + np.array([[4.0, 0.5, 0.3], [0, -0.3, -2.0]])
    found = result_of(model, values, direction="zero")
    came = score(Guess.blank((2, 3)), found)
    assert came.share == came.of_nothing == pytest.approx(3 / 6)
    assert [of[:3] for of in came.surprises] == [(0, 0, 0), (1, 2, 0), (0, 1, 0)]
    assert [of.share for of in came.surprises] == pytest.approx([1, -0.5, 0.125])


def test_the_surprises_are_the_cells_that_went_furthest_from_what_was_expected(model):
    share = np.array([[0.9, 0.0, 0.5, 1.0], [-0.5, 0.2, 0.0, 0.0]])
    found = result_of(model, 1 - 4 * share)
    guess = Guess(((AWAY, TOWARDS, TOWARDS, TOWARDS), (TOWARDS, NOTHING, NOTHING, NOTHING)))
    came = score(guess, found)
    assert [of[:2] for of in came.surprises] == [(0, 0), (1, 0), (0, 1)]
    assert came.share == pytest.approx(4 / 8)


def test_where_either_is_constant_there_is_no_correlation_and_no_way_is_none_gone(model):
    same = result_of(model, [[1.0, 2.0]], clean=1.0)
    came = score(Guess(((TOWARDS, NOTHING),)), same)
    assert (came.correlation, came.share, came.of_nothing) == (None, 0.5, 1.0)
    assert score(Guess.blank((1, 2)), result_of(model, [[1.0, -2.0]])).correlation is None
