"""What makes a map not worth reading stands above it, with what to ask instead as a click."""

from dataclasses import replace

import pytest

from core.presets import PRESETS
from tests.pages.conftest import OFFERED, text_of

ASKED = PRESETS[0].experiment("teaching")


def doubts_of(app) -> list[str]:
    """The line above the map, then what the popover says."""
    return [text_of(body) for body in app.bodies if "pb-doubt" in body]


def test_no_example_that_is_offered_is_doubtful(open_app):
    app = open_app()
    for preset in OFFERED:
        assert doubts_of(app.press(preset.title)) == [], preset.title


def test_the_first_doubt_is_one_line_with_its_fix_and_the_others_are_one_click_away(open_app):
    app = open_app(target=" the", foil=" a")
    line, first, second = doubts_of(app)
    assert first.startswith(line) and line.startswith("The clean run expects ·Jones (99.71%); the")
    assert "the foil ·a is only its number" in second
    labels = [block.proto.popover.label for block in app.at.get("popover")]
    assert "Why, and 1 more" in labels
    before = app.map
    app.press("Make that the target")
    assert app.experiment == replace(ASKED, target=" Jones", foil=" a")
    app.press("Make that the foil")
    assert app.experiment == ASKED and doubts_of(app) == []
    assert (app.map != before).any()


def test_a_word_it_does_not_know_leads_to_a_model_that_does(open_app):
    texts = {
        side: getattr(ASKED, side).replace("student", "poet") for side in ("clean", "corrupted")
    }
    app = open_app(**texts)
    assert doubts_of(app)[0] == "This model does not know “poet”."
    app.press("Ask GPT-2")
    assert app.experiment == replace(ASKED, **texts, model="gpt2")


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ({"corrupted": ASKED.corrupted.replace("Smith", "Cook")}, " the"),
        ({"foil": " Cook"}, " the"),
        ({"target": " Cook"}, " Jones"),
    ],
)
def test_a_fix_is_for_what_it_was_advised_for_and_what_was_typed_is_not_lost(
    open_app, typed, asked
):
    """Both arrive in one run of the page."""
    app = open_app(target=" the")
    for field, text in typed.items():
        app.widget(f"field_{field}").set_value(text)
    app.press("Make that the target")
    assert app.experiment == replace(ASKED, **typed | {"target": asked})
