"""The address holds the experiment, and opens as the page it was taken from."""

from dataclasses import replace

import pytest

from core import presets
from tests.pages.conftest import LONGER, LONGER_CORRUPTED, TITLES

UNKNOWN = {
    "model": "gpt-9",
    "metric": "<script>alert(1)</script>",
    "direction": "sideways",
    "window": "-1",
    "embedding": "2",
}


def test_an_address_falls_back_where_it_has_an_unknown_value_and_says_so(open_app):
    known = {"clean": LONGER, "corrupted": LONGER_CORRUPTED, "bos": "1", "utm_source": "mail"}
    app = open_app(**known, **UNKNOWN)
    assert len(app.notes) == len(UNKNOWN)
    for field, value in UNKNOWN.items():
        (note,) = (note for note in app.notes if repr(value) in note)
        assert field in note and "opened without it" in note
    expected = presets.PRESETS[0].experiment("teaching")
    assert app.experiment == replace(expected, clean=LONGER, corrupted=LONGER_CORRUPTED, bos=True)
    assert app.query == app.experiment.to_query()
    assert app.maps and not app.problems
    assert app.press(TITLES[1]).notes == []  # which were about the address


def test_what_the_site_of_an_address_has_not_is_left_out(open_app):
    app = open_app(site="head_z", embedding="1", window="2")
    assert len(app.notes) == 2 and app.maps
    assert (app.experiment.embedding, app.experiment.window) == (False, 0)


def test_a_text_too_long_for_an_address_leaves_the_address_as_it_was(open_app):
    app = open_app()
    before = app.query
    app.enter(clean="a" * 100_000)
    assert app.query == before
    assert app.enter(clean="Mary").query == before | {"clean": "Mary"}


@pytest.mark.parametrize(
    "change",
    [
        {"corrupted": "a line\nand 100 % of $x$ & <b>漢字 😀+#?=", "target": "two words"},
        {"clean": "", "corrupted": ""},
        {"metric": "kl", "direction": "noise", "foil": " the", "bos": True, "embedding": False},
    ],
    ids=", ".join,
)
def test_the_address_holds_the_experiment_and_opens_as_the_page_it_was_taken_from(open_app, change):
    app = open_app().enter(**change)
    expected = replace(presets.PRESETS[0].experiment("teaching"), **change)
    assert app.experiment == expected
    assert app.query == expected.to_query()
    again = open_app(**app.query)
    assert again.experiment == app.experiment
    assert again.problems == app.problems
    assert again.answered == (None if app.problems else app.experiment)
    assert again.figures == ([] if app.problems else app.figures)


def test_the_address_holds_the_chosen_cell_and_position_too(open_app):
    app = open_app().choose("2", 1)
    assert app.query == app.experiment.to_query() | {"cell": "2,1"}
    assert open_app(**app.query).outlined == app.outlined == {(3, 1)}
    app.enter(site="head_z_position", direction="noise")
    app.widget("map_position").set_value(4)
    app.run().choose("1", 3)
    assert (app.query["position"], app.query["cell"]) == ("4", "1,3")
    again = open_app(**app.query)
    assert again.widget("map_position").value == 4 and again.outlined == {(1, 3)}
    assert again.figures == app.figures


@pytest.mark.parametrize(
    "look", [{"cell": "99,1"}, {"cell": "2,99"}, {"cell": "<b>,1"}, {"position": "-1"}], ids=str
)
def test_a_place_that_the_map_has_not_is_as_if_the_address_did_not_name_it(open_app, look):
    app = open_app(**look)
    assert app.outlined == set() and not app.problems
    assert app.query == app.experiment.to_query()


def test_a_cell_stays_chosen_while_other_pages_are_visited_with_the_same_sweep(open_app):
    app = open_app(cell="2,1")
    assert "cell" not in app.go_to("components").query
    app.choose("3", 2)
    app.enter(metric="recovery")
    assert app.go_to("patch").query["cell"] == "2,1" and app.outlined == {(3, 1)}
    assert app.go_to("components").query["cell"] == "3,2"
    app.enter(direction="noise")
    assert "cell" not in app.go_to("patch").query


def test_another_example_clears_the_chosen_cell_and_another_text_does_not(open_app):
    app = open_app().choose("2", 1).enter(corrupted=LONGER_CORRUPTED, clean=LONGER)
    assert app.outlined == {(3, 1)}
    assert app.press(TITLES[1]).outlined == set()


def test_what_not_every_site_has_comes_back_with_one_that_has_it(open_app):
    """From sites that have no embedding row, or no window either, and from another page."""
    app = open_app().enter(window=2)
    for site, window in (("attn_out", 2), ("head_z", 0), ("mlp_out", 2), ("head_q", 0)):
        app.enter(site=site)
        assert (app.experiment.embedding, app.experiment.window) == (False, window)
    app.go_to("lens").go_to("patch").enter(site="resid_post")
    assert (app.experiment.embedding, app.experiment.window) == (True, 2)
    assert app.widget("field_embedding").value and app.widget("field_window").value == 2


def test_a_link_to_another_site_needs_no_word_about_the_embedding(open_app):
    """Which the first example patches, and no other site has."""
    app = open_app(site="attn_out")
    assert not app.notes and app.maps
    assert not app.experiment.embedding


def test_a_window_wider_than_the_model_is_narrowed_before_anything_is_drawn(open_app):
    app = open_app(window="99", embedding="0")
    assert app.experiment.window == app.widget("field_window").value == 7
    assert app.query == app.experiment.to_query()
    assert app.maps and not app.notes
