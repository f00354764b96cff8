"""The page "Worksheet": from a task to the file that is handed in, without a browser."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.guess import TOWARDS, Guess
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import HandedIn, Said
from core.worksheets.worksheet import WRONG, Task, Worksheet
from tests.pages.conftest import values

STEPS = BUNDLED["first-steps"]
HOSTILE = "![i](//host/x.png) <img src=//host/y.png> **b** $x$"


def opened(open_app, **query):
    return open_app(**query).go_to("worksheet")


def on_page(open_app, **query):
    """As a link opens it."""
    app = opened(open_app)
    for name, value in query.items():
        app.at.query_params[name] = value
    app.at.session_state["address"] = ({}, 0.0)
    return app.run()


def file_of(app) -> HandedIn:
    """What would be handed in now."""
    state = app.at.session_state
    names = state["sheet_names"] if "sheet_names" in state else ""  # noqa: SIM401 - it has no get
    return HandedIn(names, state["sheet"], tuple(state["sheet_said"]))


def test_three_are_offered_and_one_is_begun(open_app):
    app = opened(open_app)
    for sheet in BUNDLED.values():
        assert any(sheet.title in text for text in app.texts)
    assert [button.label for button in app.at.button if button.label == "Begin"] == ["Begin"] * 3
    app.widget("begin_first-steps").click()
    app.run()
    assert any(STEPS.tasks[0].asks in text for text in app.texts)
    assert app.query["sheet"] == "first-steps"


def test_words_are_taken_down_with_the_numbers_that_were_seen(open_app):
    app = on_page(open_app, sheet="first-steps")
    app.widget("sheet_words_0").set_value("It is the surname.")
    app.run()
    said = file_of(app).said[0]
    assert said.words == "It is the surname."
    expected = answer_to(STEPS.tasks[0].experiment).values
    np.testing.assert_allclose(said.numbers["values"], expected, atol=1e-3)


def test_a_link_holds_the_answers_but_not_the_numbers_which_are_computed_again(open_app):
    app = on_page(open_app, sheet="first-steps")
    app.widget("sheet_words_0").set_value("It is the surname.")
    app.run()
    app.widget("sheet_names_typed").set_value("Ann & <b>Bob</b>")
    app.run()
    again = on_page(open_app, **{k: app.query[k] for k in ("sheet", "answers", "names")})
    one = file_of(again)
    assert one.names == "Ann & <b>Bob</b>"
    assert one.said[0].words == "It is the surname."
    assert one.said[0].numbers == file_of(app).said[0].numbers


def test_a_prediction_shows_its_map_only_after_a_reason(open_app):
    guess = Guess.blank((8, 14)).painted((0, 9), (4, 9), TOWARDS)
    app = on_page(open_app, sheet="first-steps", task="3")
    app.at.session_state["sheet_said"][2] = Said(guess=guess.written())
    app.run()
    (shown,) = app.maps
    assert len(np.unique(values(shown))) == 2
    assert "Open it on the Patch page" not in app.buttons
    assert any("0 of 6 tasks answered" in text for text in app.texts)
    app.press("Show me the map")
    assert "Say why first, in one sentence." in app.problems
    app.widget("sheet_words_2").set_value("The name is read there.")
    app.press("Show me the map")
    (shown,) = app.maps
    expected = answer_to(STEPS.tasks[2].experiment).values
    np.testing.assert_allclose(values(shown), expected, atol=1e-3)
    assert any("The guess is right for" in text for text in app.texts)
    assert file_of(app).said[2].guess == guess.written()
    assert "Open it on the Patch page" in app.buttons


def test_a_cell_that_was_found_is_right_or_not(open_app):
    app = on_page(open_app, sheet="first-steps", task="2")
    app.at.session_state["sheet_said"][1] = Said(cell=(1, 1))
    assert "Right: layer 0, position 1." in app.run().texts
    app.at.session_state["sheet_said"][1] = Said(cell=(1, 5))
    assert "Not right: layer 0, position 5." in app.run().texts
    app.at.session_state["sheet_said"][1] = Said(cell=(70, 5))
    assert "The cell that was chosen is not on this map: click another." in app.run().problems


def test_a_diagnosis_is_made_once_and_then_explained(open_app):
    app = on_page(open_app, sheet="ten-ways", task="3")
    app.press("Answer")
    assert "Choose one of them first." in app.problems
    app.widget("sheet_choice_2").set_value("turned round")
    app.press("Answer")
    assert f"What is wrong: {WRONG['no flip']}" in app.texts
    assert not app.has("sheet_choice_2")
    assert file_of(app).said[2].choice == "turned round"


def test_one_goes_on_to_the_next_task_and_learns_what_is_still_open(open_app):
    app = on_page(open_app, sheet="first-steps", task="5")
    assert any("Still open: 1, 2, 3, 4, 5, 6." in text for text in app.texts)
    app.press("Next task")
    assert app.query["task"] == "6" and "Next task" not in app.buttons
    app.widget("sheet_words_5").set_value("Heads.")
    app.run()
    assert any("1 of 6 tasks answered, 1 word. Still open: 1, 2, 3, 4, 5." in t for t in app.texts)


def test_the_model_of_a_worksheet_is_pinned_while_it_is_worked_through(open_app):
    app = on_page(open_app, sheet=replace(STEPS, model="gpt2").to_link())
    assert app.experiment.model == "gpt2" and app.widget("field_model").disabled
    assert "Which surname?" not in app.buttons
    assert any("leave the worksheet to take another" in text for text in app.texts)
    app.press("Leave the worksheet")
    assert not app.widget("field_model").disabled and "Which surname?" in app.buttons
    wrong = replace(STEPS, model="none-such").to_link()
    assert any("no model 'none-such'" in says for says in on_page(open_app, sheet=wrong).problems)


def test_answers_are_there_again_when_one_comes_back_to_a_worksheet_that_was_left(open_app):
    app = on_page(open_app, sheet="first-steps", task="6")
    app.widget("sheet_words_5").set_value("Heads.")
    app.run()
    app.press("Leave the worksheet")
    app.press("Go on")
    assert app.query["task"] == "6" and file_of(app).said[5].words == "Heads."
    app.press("Leave the worksheet")
    assert app.buttons.count("Begin") == 2


def test_a_pair_of_ones_own_is_taken_from_the_patch_page(open_app):
    app = on_page(open_app, sheet="assignment", task="4")
    assert any("No pair is taken yet." in note for note in app.notes)
    app.press("Take the pair that is on the Patch page now")
    assert file_of(app).said[3].experiment == app.experiment
    assert len(app.maps) == 1
    assert any("0 of 6 tasks answered" in text for text in app.texts)  # it asks for words, too
    app.widget("sheet_words_3").set_value("A name.")
    app.run()
    assert any("1 of 6 tasks answered" in text for text in app.texts)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"sheet": "nonsense"}, "The link is damaged"),
        ({"sheet": "assignment", "answers": "AAAA"}, "The link is damaged"),
        ({"sheet": "assignment", "task": "99"}, None),
    ],
)
def test_a_damaged_link_is_one_sentence(open_app, query, says):
    app = on_page(open_app, **query)
    if says:
        assert any(says in problem for problem in app.problems)
    else:
        assert app.problems == []


def test_nothing_that_a_worksheet_says_is_markup_and_it_may_show_few_pages(open_app):
    pair = STEPS.tasks[0].experiment
    sheet = Worksheet(HOSTILE, HOSTILE, "teaching", (Task("map", HOSTILE, HOSTILE, pair, HOSTILE),))
    app = on_page(open_app, sheet=sheet.to_link())
    assert sum(HOSTILE in text for text in app.texts) >= 3
    raw = [text for _, text in app.strings() if "![i](" in text]
    assert raw == []


def test_the_file_that_is_handed_in_is_opened_again(open_app):
    app = on_page(open_app, sheet="first-steps")
    app.widget("sheet_words_0").set_value("Words.")
    app.run()
    one = HandedIn.read(file_of(app).to_json())
    assert one.said[0].words == "Words."
    assert json.loads(one.to_json())["digest"] == STEPS.digest


FILES = {
    b"\xff\xfe": "The file is not text in UTF-8.",
    b"[" * 50_000_000: "The worksheet is too long: 50,000,000 characters.",
    b'{"is": ' * 5000: "The worksheet cannot be read as JSON",
    b'{"answers": NaN}': "NaN is not a number",
    b'{"is": "<script>alert(1)</script>"}': "The file is not a Patchboard worksheet.",
}


def test_a_file_that_is_none_is_refused_in_a_sentence(open_app):
    app = on_page(open_app)
    for content, says in FILES.items():
        app.at.file_uploader[0].upload("sheet.json", content, "application/json")
        (problem,) = app.run().problems
        assert says in problem and len(problem) < 300 and app.has("begin_assignment")


def test_the_file_is_made_by_a_click_that_takes_along_what_was_typed_just_before(open_app):
    app = on_page(open_app, sheet="first-steps")
    assert not app.at.get("download_button")
    app.widget("sheet_words_0").set_value("Typed at once.")
    app.press("Make the file to hand in")
    (offered,) = app.at.get("download_button")
    assert offered.proto.label == "The file to hand in"
    assert file_of(app).said[0].words == "Typed at once."
    app.widget("sheet_words_0").set_value("Something else.")
    app.run()
    assert not app.at.get("download_button")  # it would be of the words before
