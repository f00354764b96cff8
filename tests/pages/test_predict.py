"""Predict first: the map stays hidden until somebody has said what they expect, and why."""

import json

import numpy as np
import pytest

from core.guess import TOWARDS, Guess
from core.views import exports, guesses
from tests.pages.conftest import values
from tests.pages.test_open_page import opened

WHY = "The name must come from <b>there</b>."


@pytest.fixture
def guess():
    return Guess.blank((9, 10)).painted((2, 1), (2, 1), TOWARDS).painted((8, 9), (8, 9), TOWARDS)


def test_nothing_of_the_map_is_on_the_page_before_a_reason_is_given(open_app, guess):
    seen = open_app()
    values, texts = seen.map, seen.texts
    app = open_app(predict="1", guess=guess.written())
    assert len(np.unique(app.map)) == 2  # the base's value, and the other run's where painted
    assert not any(text in app.texts for text in texts if "effect is at" in text)
    assert not app.has("cell_row") and not app.next_tokens
    app.press("Show me the map")
    assert "Say why first, in one sentence." in app.problems
    assert app.query["predict"] == "1" and "seen" not in app.query
    app.widget("guess_why").set_value(WHY)
    app.press("Show me the map")
    np.testing.assert_array_equal(app.map, values)
    assert any("The guess is right for" in text for text in app.texts)
    assert f"You wrote: {WHY}" in app.texts
    assert len(app.outlined) == 3
    assert (app.query["why"], app.query["seen"]) == (WHY, "1")
    app.press("Guess again")
    assert len(np.unique(app.map)) == 2


def test_a_link_opens_what_was_guessed_and_another_question_begins_anew(open_app, guess):
    app = open_app(predict="1", guess=guess.written(), why=WHY, seen="1")
    assert any("The guess is right for" in text for text in app.texts)
    app.enter(direction="noise")
    assert len(np.unique(app.map)) == 1
    assert app.query["predict"] == "1"
    assert not {"guess", "why", "seen"} & set(app.query)


def test_a_guess_of_another_map_is_left_out_with_a_word(open_app):
    app = open_app(predict="1", guess="AAAA")
    assert any("The guess is not one of a map of 9 rows and 10 columns." in n for n in app.notes)
    assert len(np.unique(app.map)) == 1


def test_what_was_said_is_still_there_after_a_visit_to_another_page(open_app, guess):
    app = open_app(predict="1", guess=guess.written())
    app.widget("guess_why").set_value(WHY)
    app.run().go_to("tokens").go_to("patch")
    assert app.widget("guess_why").value == WHY
    assert app.query["guess"] == guess.written()


def test_the_json_file_holds_the_guess_and_how_it_came_out(open_app, guess):
    app = open_app(predict="1", guess=guess.written(), why=WHY, seen="1")
    study = app.job.of
    result = study.read(app.experiment)
    written = exports.to_json(result, guessed=guesses.said(result, guess, WHY))
    said = json.loads(written)["guess"]
    assert said["why"] == WHY and said["cells"] == [list(row) for row in guess.cells]
    share = f"right for {said['share_right']:.0%} of the cells"
    assert any(share in text for text in app.texts)
    again = opened(open_app, written)  # and it is there again with the map
    assert any(share in text for text in again.texts) and f"You wrote: {WHY}" in again.texts


def test_the_map_of_heads_is_predicted_by_itself_and_each_guess_is_kept_for_its_own_map(
    open_app, guess
):
    app = open_app(predict="1", guess=guess.written(), why=WHY, seen="1").go_to("components")
    assert len(np.unique(values(app.maps[-1]))) == 1 and len(app.maps) == 4
    assert not app.has("cell_row")
    app.widget("guess_why").set_value("A head moves it.")
    app.press("Show me the map")
    assert "You wrote: A head moves it." in app.texts
    assert len(np.unique(values(app.maps[-1]))) > 9
    assert app.query["why"] == "A head moves it." and "guess" not in app.query
    app.go_to("patch")
    assert f"You wrote: {WHY}" in app.texts and app.query["guess"] == guess.written()
