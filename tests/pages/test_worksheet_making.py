"""The page "Worksheet": to make one, and to check what came back, without a browser."""

import json
from dataclasses import replace
from urllib.parse import urlencode

import pytest
import streamlit as st

from core.views import exports
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import HandedIn, Said, numbers_of
from core.worksheets.worksheet import Worksheet
from tests.pages.test_worksheet_page import HOSTILE, on_page

STEPS = BUNDLED["first-steps"]
SURNAME = STEPS.tasks[0].experiment
NOISE = replace(SURNAME, direction="noise")


@pytest.fixture
def making(open_app):
    return on_page(open_app, do="make")


def made(app) -> Worksheet:
    """As the address has it."""
    return Worksheet.from_link(app.query["draft"], unfinished=True)


def field(app, label: str):
    fields = [*app.at.text_input, *app.at.text_area]
    return next(node for node in fields if node.label == label)


def paste(app, *experiments):
    lines = [f"http://localhost/?{urlencode(of.to_query())}" for of in experiments]
    field(app, "Addresses of maps, one a line").set_value("\n".join(lines))
    return app.press("Add them")


def test_what_is_typed_is_in_the_address_and_outlives_another_page(making):
    app = making
    field(app, "Title").set_value(HOSTILE)
    app.run()
    field(app, "What it is about").set_value("About.")
    app.press("Add a question")
    field(app, "Question").set_value("Why?")
    app.run().go_to("lens").go_to("worksheet")
    sheet = made(app)
    assert (sheet.title, sheet.about, sheet.tasks[0].asks) == (HOSTILE, "About.", "Why?")
    assert field(app, "Title").value == HOSTILE
    assert not [text for _, text in app.strings() if "![i](" in text]


def test_a_reload_goes_on_with_it_and_so_does_an_error(open_app, making):
    paste(making, SURNAME, NOISE)
    again = on_page(open_app, **{name: making.query[name] for name in ("do", "draft")})
    assert made(again) == made(making)
    field(again, "Addresses of maps, one a line").set_value("nonsense\n")
    again.press("Add them")
    assert "Line 1 is not the address of a map" in again.problems[0]
    assert field(again, "Addresses of maps, one a line").value == "nonsense\n"
    assert len(made(again).tasks) == 2


def test_tasks_are_edited_moved_and_removed_each_with_what_was_typed(making):
    app = paste(making, SURNAME, NOISE)
    field(app, "Title of the task").set_value("Mine")
    app.press("Later")  # the click brings what was typed with it
    assert [task.title for task in made(app).tasks] == ["", "Mine"]
    assert (made(app).tasks[1].experiment, app.query["at"]) == (SURNAME, "2")
    id = app.at.session_state["draft_ids"][1]
    app.widget(f"make_kind_{id}").set_value("find")
    app.run()
    app.widget(f"make_find_{id}").set_value("last position")
    app.run()
    app.press("Earlier")
    assert (made(app).tasks[0].kind, made(app).tasks[0].find) == ("find", "last position")
    assert field(app, "Title of the task").value == "Mine"
    app.press("Remove")
    (left,) = made(app).tasks
    assert left.experiment == NOISE


def test_the_map_of_the_patch_page_is_added_and_what_a_model_cannot_read_is_said(making):
    making.press("Add the map that is on the Patch page now")
    (task,) = made(making).tasks
    assert task.experiment == making.experiment
    app = paste(making, replace(SURNAME, clean="One"))
    assert any("Task 2: The texts must have the same number" in says for says in app.problems)
    paste(app, replace(SURNAME, site="head_z_position", embedding=False))
    assert any("a site with three axes" in says for says in app.problems)
    assert len(made(app).tasks) == 2


def test_its_key_is_computed_when_it_is_asked_for_and_it_can_be_tried(making, sweeps):
    app = paste(making, SURNAME)
    id = app.at.session_state["draft_ids"][0]
    app.widget(f"make_kind_{id}").set_value("find")
    app.run()
    assert sweeps == []
    app.press("Compute the key")
    assert any(text.startswith("Task 1: embedding, position 1; layer 0") for text in app.texts)
    assert len(sweeps) == 1
    app.press("Try it")
    assert app.at.session_state["sheet"].tasks[0].find == "strongest"
    assert app.press("Leave the worksheet").at.session_state["draft"].tasks[0].find == "strongest"


def test_a_link_to_a_worksheet_shows_its_pages_alone_from_the_first_run_on(open_app, monkeypatch):
    offered, navigation = [], st.navigation

    def recorded(pages, **how):
        offered.append([page.title for menu in pages.values() for page in menu])
        return navigation(pages, **how)

    monkeypatch.setattr(st, "navigation", recorded)
    app = open_app(sheet=replace(STEPS, pages=("Lens",)).to_link())
    assert offered[-1] == ["Patch", "Lens", "Worksheet"]
    app.go_to("worksheet").press("Leave the worksheet")
    assert len(offered[-1]) > 9


def test_what_came_back_is_checked_with_what_stands_out_first(open_app):
    said = [Said() for _ in STEPS.tasks]
    said[0] = Said(words="Own words.", numbers=numbers_of(answer_to(SURNAME)))
    good = HandedIn("Ann", STEPS, tuple(said)).to_json()
    bad = json.loads(good)
    bad["answers"][0]["numbers"]["values"][0][0] += 0.5
    single = exports.to_json(answer_to(NOISE))
    files = [good, json.dumps(bad), single, "[" * 100_000]
    app = on_page(open_app, do="check")
    app.widget("handed_in").set_value([("a.json", of.encode(), "application/json") for of in files])
    app.run()
    (rows,) = app.tables
    assert [(row["file"], row["numbers"]) for row in rows[:2]] == [
        ("a.json (2)", "differ"),
        ("a.json (4)", ""),
    ]
    assert rows[0]["largest_difference"] == "0.5" and "cannot be read as JSON" in rows[1]["problem"]
    assert {row["numbers"] for row in rows if row["file"] in ("a.json", "a.json (3)")} == {
        "equal",
        "",
    }
    assert "4 files; 2 to look at first." in app.texts
