"""What a person types: refused in words where it cannot be run, never lost, never markup."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from core import presets
from pages.parts import html, keeping

# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field, typed, says",
    [
        pytest.param("clean", "a" * 1_000_000, "1,000,000 characters", id="1 MB"),
        pytest.param("corrupted", "Michelle Smith", "the clean text has 8 more", id="other length"),
        pytest.param("target", " Jones Smith", "·Jones | ·Smith", id="two tokens"),
        pytest.param("foil", "", "The foil is empty: type one token", id="empty"),
    ],
)
def test_a_mistake_is_named_loses_nothing_and_is_gone_once_mended(
    open_app, sweeps, field, typed, says
):
    others = {"metric": "kl", "direction": "noise", "embedding": False}
    app = open_app().enter(**others)
    before, asked, begun = app.map, app.experiment, len(sweeps)
    app.enter(**{field: typed})
    assert len(app.problems) == 1 and says in app.problems[0]
    entered = presets.PRESETS[0].experiment("teaching").to_dict() | others | {field: typed}
    assert app.experiment.to_dict() == entered
    assert {name: app.widget(f"field_{name}").value for name in entered} == entered
    np.testing.assert_array_equal(app.map, before)  # which the browser is told is the former one
    assert app.asked == app.experiment and app.answered == asked
    assert len(sweeps) == begun
    for top in ("top_target", "top_foil"):  # which texts that cannot be run do not have
        assert app.widget(top).proto.disabled is (field in ("clean", "corrupted"))
    app.enter(**{field: getattr(presets.PRESETS[0], field)})
    assert not app.problems and app.answered == app.asked == asked
    np.testing.assert_array_equal(app.map, before)


def test_recovery_of_runs_that_do_not_differ_is_refused_in_words(open_app, monkeypatch):
    monkeypatch.setattr("core.question.metrics.SMALLEST_DIFFERENCE", 1000)
    app = open_app(metric="recovery")
    for page in ("patch", "compare"):
        app.go_to(page)
        assert "Choose another target and foil, or another metric." in app.problems[0]
        assert not app.maps
    app.go_to("patch").enter(metric="logit_diff")
    assert not app.problems and app.maps


# --- one click ----------------------------------------------------------------------------------


def test_a_missing_space_is_put_in_with_one_click(open_app):
    app = open_app()
    before = app.map
    app.enter(foil="Smith")
    assert app.buttons.count("Put a space before it") == 1
    app.press("Put a space before it")
    assert app.widget("field_foil").value == " Smith"
    assert "Put a space before it" not in app.buttons
    np.testing.assert_array_equal(app.map, before)


@pytest.mark.parametrize("end, called", [(" ", "space"), ("\n", "newline"), (" \n ", "newline")])
def test_a_blank_end_of_a_text_is_flagged_and_dropped_with_one_click(open_app, end, called):
    app = open_app()
    clean = app.experiment.clean
    assert not any("drop it" in label for label in app.buttons)
    app.enter(clean=clean + end)
    app.widget("field_corrupted").set_value(app.experiment.corrupted + "!")  # with the click
    app.press(f"Ends with a {called}: drop it")
    assert (app.experiment.clean, app.experiment.corrupted[-1]) == (clean, "!")
    assert not any("drop it" in label for label in app.buttons)


def test_what_was_typed_together_with_a_click_is_not_lost(open_app, answer):
    """Both arrive in one run of the page: the click is answered for what was typed."""
    app = open_app(target="Jones")
    typed = presets.PRESETS[0].corrupted.replace("Smith", "Cook")
    app.widget("field_corrupted").set_value(typed)
    app.widget("top_foil").click()
    app.run()
    assert app.experiment.corrupted == typed
    top = answer(replace(app.experiment, target=" a")).top
    assert app.experiment.foil == app.widget("field_foil").value == top["corrupted"][0].token.text
    app.widget("field_target").set_value("Smith")
    app.press("Put a space before it")
    assert app.experiment.target == " Smith"
    app.widget("top_target").click()
    assert app.run().experiment.target == top["clean"][0].token.text


def test_a_likeliest_token_that_cannot_be_typed_is_not_put_in(open_app, monkeypatch):
    untypable = {0: False}
    monkeypatch.setattr(
        "pages.parts.inputs.can_be_typed", lambda token, encoder: untypable.pop(0, True)
    )
    app = open_app(target=" the")
    first, second = app.job.of.plain.top(app.job.of.plain.state("clean").states, count=2)
    app.widget("top_target").click()
    app.run()
    assert app.experiment.target == second.token.text
    (note,) = app.notes
    assert f"{first.token.label} (id {first.token.id}), cannot be typed" in note


# --- markup -------------------------------------------------------------------------------------

HOSTILE = ["<img src=x onerror=alert(1)>", "$x$", ":red[x] &amp; مرحبا \u202ex", "%{customdata[0]}"]
# What the app itself writes between, and inside of, what people type.
TAG = re.compile(
    r"</?(div|span|bdi|b|h2|button|table|tr|th|td|details|summary)"
    r"( (class|title|role|style|type|aria-label|data-(field|text|experiment))=\"[^\"<>]*\")*>"
    r"|&(amp|lt|gt|quot|#x27);"
)


def assert_escaped(app) -> None:
    rest = TAG.sub("", "".join(app.bodies))
    assert not set("<>&") & set(rest), rest


def assert_shown_as_it_is(app, hostile: str) -> None:
    assert_escaped(app)
    for kind, text in app.strings():
        assert hostile not in text, f"{kind} has it: {text}"
    for figure in app.figures:
        for tag in ("<script", "<img", "<a "):
            assert tag not in json.dumps(figure)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_text_is_shown_as_it_is(open_app, hostile):
    app = open_app().enter(clean=f"{hostile} Mary is", corrupted=f"{hostile} John is")
    assert not app.problems and len(app.maps) == 1
    ribbon = next(body for body in app.bodies if "pb-ribbon" in body)
    ids = keeping.shelf("teaching").model.encoder.encode(hostile)
    assert f"clean id {ids[0]}," in ribbon
    for page in ("compare", "patch"):
        assert_shown_as_it_is(app.go_to(page), hostile)
    app.enter(target=hostile, foil=f" {hostile}")
    assert len(app.problems) == 2
    assert_shown_as_it_is(app, hostile)


def test_a_special_token_in_a_text_is_told_once(open_app):
    texts = {name: f"{name}<|endoftext|> Mary is" for name in ("a", "b")}
    app = open_app().enter(clean=texts["a"], corrupted=texts["b"])
    (note,) = app.notes
    assert note.startswith("<|endoftext|> was read as one special token, number ")


@pytest.mark.parametrize("token, shown", [("<", "&lt;"), ("$", "$"), ("\n", "⏎")])
def test_a_target_of_markup_is_shown_as_it_is(open_app, token, shown):
    """One byte is one token of any tokenizer of bytes, so these come as far as the figures."""
    app = open_app().enter(target=token, metric="target_prob")
    assert not app.problems
    (figure,) = app.maps
    assert figure["data"][0]["colorbar"]["title"]["text"] == f"P({shown})"
    assert f"P({shown})" in next(body for body in app.bodies if "before any patch" in body)
    assert_escaped(app)


def test_that_markup_in_markdown_would_be_found(open_app, monkeypatch):
    monkeypatch.setattr(html, "show", lambda markup, width="stretch": st.markdown(markup))
    app = open_app().enter(clean="$x$ Mary is", corrupted="$x$ John is", target="$x$")
    with pytest.raises(AssertionError, match="markdown has it"):
        assert_shown_as_it_is(app, "$x$")
