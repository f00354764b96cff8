"""Answers are kept with the numbers that were seen, and judged where a computer can."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.guess import TOWARDS, Guess
from core.result import Baseline
from core.worksheets.handed_in import (
    HandedIn,
    Said,
    differs,
    found,
    how_guessed,
    is_right,
    numbers_of,
)
from core.worksheets.worksheet import Task
from tests import builders
from tests.core.worksheets.test_worksheet import PAIR, SHEET


@pytest.fixture(scope="module")
def result():
    return builders.answer(builders.loaded_model())


def with_shares(result, shares):
    """The same result, whose cells went so far from 1 (corrupted) to -3 (clean)."""
    values = 1 - 4 * np.array(shares, dtype=np.float32)
    return replace(
        result, grids={"logit_diff": values}, baselines={"logit_diff": Baseline(-3.0, 1.0)}
    )


def handed_in(result) -> HandedIn:
    said = (
        Said(words="Because.", guess=Guess.blank(result.values.shape).written()),
        Said(cell=(1, 2), numbers=numbers_of(result)),
        Said(choice="no flip"),
        Said(words="It <i>is</i> so.", experiment=PAIR),
    )
    return HandedIn("Ann & Bob", SHEET, said)


def test_a_file_of_answers_is_read_back(result):
    one = handed_in(result)
    assert HandedIn.read(one.to_json()) == one


def damaged(result, **changes) -> str:
    return json.dumps(json.loads(handed_in(result).to_json()) | changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"is": "x"}, "holds no answers"),
        ({"names": 1}, "no text for “names”"),
        ({"digest": "0"}, "The worksheet in the file has been changed."),
        ({"worksheet": None}, "not a JSON object"),
        ({"answers": []}, "does not have one answer for each of 4 tasks"),
        ({"answers": [1, 2, 3, 4]}, "An answer is not a JSON object."),
        ({"answers": [{"cell": [1]}] * 4}, "not a row and a column"),
        ({"answers": [{"cell": [-1, 0]}] * 4}, "not a row and a column"),
        ({"answers": [{"words": 1}] * 4}, "no text for “words”"),
        ({"answers": [{"choice": "<b>"}] * 4}, "chooses '<b>', which is not on"),
        ({"answers": [{"numbers": {"values": [["1"]]}}] * 4}, "are not a map"),
    ],
)
def test_a_damaged_file_is_refused_in_words(result, changes, says):
    with pytest.raises(UserError) as refusal:
        HandedIn.read(damaged(result, **changes))
    assert says in str(refusal.value)


def test_numbers_that_were_changed_are_told_by_how_much(result):
    numbers = numbers_of(result)
    assert differs(numbers, result)[0] < 1e-5
    other = json.loads(json.dumps(numbers))
    other["values"][1][2] += 0.25
    apart, where = differs(other, result)
    assert apart == pytest.approx(0.25, abs=1e-5) and where.startswith("layer 1, position 2: ")
    apart, where = differs(numbers | {"clean_value": numbers["clean_value"] - 2}, result)
    assert apart > 1.99 and where.startswith("the clean run: ")
    for change, why in (
        ({"values": numbers["values"][1:]}, "of another map's size"),
        ({"values": [[1.0], [2.0, 3.0]]}, "no numbers of a map"),
        ({"metric": "kl"}, "of another metric"),
    ):
        assert differs(numbers | change, result) == (float("inf"), why)


def test_of_equally_strong_cells_each_is_right(result):
    shares = [[0.99, 0.2, 0.0], [1.0, -0.6, 0.3], [0.1, 0.0, 0.7]]
    strongest = Task("find", "t", "a", PAIR, find="strongest")
    away = Task("find", "t", "a", PAIR, find="away")
    last = Task("find", "t", "a", PAIR, find="last position")
    of = with_shares(result, shares)
    assert found(strongest, of) == {(0, 0), (1, 0)}
    assert found(away, of) == {(1, 1)}
    assert found(last, of) == {(2, 2)}
    assert is_right(strongest, Said(cell=(1, 0)), of) is True
    assert is_right(strongest, Said(cell=(2, 2)), of) is False
    assert is_right(strongest, Said(), of) is False


def test_the_last_position_has_it_only_from_where_on_it_keeps_it(result):
    last = Task("find", "t", "a", PAIR, find="last position")
    assert found(last, with_shares(result, [[0, 0.9], [0, 0.4], [0, 0.8]])) == {(2, 1)}
    assert found(last, with_shares(result, [[0, 0.9], [0, 0.4]])) == set()
    assert found(last, with_shares(result, [[0, 0.6], [0, 0.9]])) == {(0, 1)}


def test_what_is_wrong_with_a_pair_is_right_or_not_and_words_are_for_a_person_to_judge(result):
    wrong = Task("diagnose", "t", "a", PAIR, wrong="no flip")
    assert is_right(wrong, Said(choice="no flip"), result) is True
    assert is_right(wrong, Said(choice="no space"), result) is False
    assert is_right(Task("explain", "t", "a"), Said(words="x"), result) is None


def test_a_prediction_is_judged_by_its_cells(result):
    of = with_shares(result, [[1.0, 0.0], [0.0, 1.0]])
    guess = Guess.blank((2, 2)).painted((0, 0), (0, 1), TOWARDS)
    assert how_guessed(Said(guess=guess.written()), of) == 0.5
    assert how_guessed(Said(), of) is None


def test_half_a_character_is_refused_in_words(result):
    """Which no file and no address can hold but by its number."""
    for field in ("names", "worksheet"):
        written = json.loads(damaged(result))
        at = written if field == "names" else written["worksheet"]
        at["names" if field == "names" else "title"] = "\ud800"
        with pytest.raises(UserError, match="cannot be read as JSON"):
            HandedIn.read(json.dumps(written))
    with pytest.raises(UserError, match="no text for “words”"):
        Said.from_dict({"words": "\ud800"})
