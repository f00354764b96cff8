"""The address holds the experiment, and opens as the page it was taken from."""

from dataclasses import replace

import pytest

from core import presets
from tests.pages.conftest import LONGER, LONGER_CORRUPTED, TITLES


@pytest.mark.parametrize(
    "field, value",
    [
        ("model", "gpt-9"),
        ("model", ""),
        ("metric", "accuracy"),
        ("direction", "sideways"),
        ("bos", "yes"),
        ("embedding", "2"),
        ("site", "nowhere"),
        ("window", "wide"),
        ("window", "-1"),
        ("metric", "<script>alert(1)</script>"),
    ],
)
def test_an_address_with_an_unknown_value_falls_back_and_says_so(open_app, field, value):
    app = open_app(**{field: value})
    (note,) = app.notes
    assert repr(value) in note and field in note and "opened without it" in note
    assert app.maps and not app.problems
    assert app.query[field] != value


def test_an_address_with_several_unknown_values_names_each(open_app):
    app = open_app(model="gpt-9", metric="accuracy", direction="sideways", bos="maybe")
    assert len(app.notes) == 4
    assert app.maps


def test_what_else_an_address_holds_is_kept_beside_an_unknown_value(open_app):
    app = open_app(clean=LONGER, corrupted=LONGER_CORRUPTED, metric="accuracy", bos="1")
    assert (app.experiment.clean, app.experiment.bos) == (LONGER, True)


def test_an_address_with_more_than_an_experiment_is_opened(open_app):
    app = open_app(utm_source="mail", metric="kl")
    assert app.experiment.metric == "kl"
    assert app.maps and not app.notes


def test_a_text_too_long_for_an_address_leaves_the_address_as_it_was(open_app):
    app = open_app()
    before = app.query
    app.enter(clean="a" * 100_000)
    assert app.query == before
    assert app.enter(clean="Mary").query == before | {"clean": "Mary"}


def test_a_note_about_the_address_goes_with_the_next_example(open_app):
    assert open_app(metric="accuracy").press(TITLES[1]).notes == []


CHANGES = [
    {"clean": LONGER, "corrupted": LONGER_CORRUPTED},
    {"target": " Smith", "foil": " Jones"},
    {"metric": "kl"},
    {"direction": "noise"},
    {"bos": True},
    {"embedding": False},
    {"corrupted": "a line\nand 100 % of $x$ & <b>漢字 😀+#?="},
    {"target": "two words"},
    {"clean": "", "corrupted": ""},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ", ".join(change))
def test_the_address_holds_the_experiment_and_opens_as_the_page_it_was_taken_from(open_app, change):
    app = open_app().enter(**change)
    expected = replace(presets.PRESETS[0].experiment("teaching"), **change)
    assert app.experiment == expected
    assert app.query == expected.to_query()
    again = open_app(**app.query)
    assert again.experiment == app.experiment
    assert again.problems == app.problems
    assert again.figures == app.figures


def test_a_link_to_another_site_needs_no_word_about_the_embedding(open_app):
    """Which the first example patches, and no other site has."""
    app = open_app(site="attn_out")
    assert not app.notes and app.maps
    assert not app.experiment.embedding


@pytest.mark.parametrize("window", ["5", "99", "9" * 5000, "²"])
def test_a_window_wider_than_the_model_is_narrowed_before_anything_is_drawn(open_app, window):
    app = open_app(window=window, embedding="0")
    assert app.experiment.window == (5 if window in ("5", "99") else 0)
    assert app.query == app.experiment.to_query()
    assert app.widget("field_window").value == app.experiment.window
    assert len(app.notes) == (window not in ("5", "99"))
    assert app.maps
