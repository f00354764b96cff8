"""What a person types: refused in words where it cannot be run, never lost, never markup."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import streamlit as st

from core import presets
from core.question.tokens import whole_words
from pages.parts import html, keeping

# --- bad input ----------------------------------------------------------------------------------

CLEAN = presets.PRESETS[0].clean
BAD_INPUTS = [
    pytest.param("clean", "", "The clean text is empty: type a sentence.", id="empty text"),
    pytest.param("corrupted", " \n\t ", "The corrupted text is empty", id="blank text"),
    pytest.param("corrupted", "Michelle Smith", "the clean text has 8 more", id="unequal counts"),
    pytest.param("corrupted", CLEAN, "The two texts are the same", id="identical texts"),
    pytest.param(
        "clean",
        "Mary" + " Jones" * 96,
        "97 tokens and this model reads at most 96",
        id="too many tokens",
    ),
    pytest.param("clean", "a" * 1_000_000, "1,000,000 characters", id="1 MB"),
    pytest.param("clean", "漢" * 350_000, "350,000 characters", id="1 MB of wide characters"),
    pytest.param("clean", "Mary\x00Jones", "is the control character U+0000", id="NUL"),
    pytest.param("corrupted", "\x1b[31mMary", "is the control character U+001B", id="escape"),
    pytest.param("corrupted", "Mary\x85", "is the control character U+0085", id="C1 control"),
    pytest.param("target", "", "The target is empty: type one token", id="empty target"),
    pytest.param("foil", "", "The foil is empty: type one token", id="empty foil"),
    pytest.param("target", " Jones Smith", "·Jones | ·Smith", id="target of two tokens"),
    pytest.param("foil", " Jones Smith", "·Jones | ·Smith", id="foil of two tokens"),
    pytest.param("foil", " Jones", "Target and foil are both ·Jones", id="target and foil equal"),
    pytest.param("target", "x" * 1_000_000, "1,000,000 characters", id="1 MB target"),
]


@pytest.mark.parametrize("field, typed, says", BAD_INPUTS)
def test_a_mistake_is_named_at_its_field_loses_nothing_and_is_gone_once_mended(
    open_app, field, typed, says
):
    others = {"metric": "kl", "direction": "noise", "embedding": False}
    app = open_app().enter(**others)
    before = app.map
    app.enter(**{field: typed})
    assert len(app.problems) == 1 and says in app.problems_at(field)[0]
    entered = presets.PRESETS[0].experiment("teaching").to_dict() | others | {field: typed}
    assert app.experiment.to_dict() == entered
    assert {name: app.widget(f"field_{name}").value for name in entered} == entered
    assert not app.maps
    app.enter(**{field: getattr(presets.PRESETS[0], field)})
    assert not app.problems
    np.testing.assert_array_equal(app.map, before)


def test_unequal_counts_say_by_how_many_and_where_the_texts_part(open_app):
    app = open_app().enter(
        clean="Michelle Jones was a student. Michelle",
        corrupted="Michelle was a student. Michelle",
    )
    assert app.problems == [
        "The texts must have the same number of tokens, but the clean text has 1 more:"
        " clean 7, corrupted 6. They part at position 1: ·Jones against ·was."
        " Swap in words that are as many tokens."
    ]
    assert any("clean (above) 7, corrupted (below) 6" in text for text in app.texts)


def test_a_text_that_cannot_be_run_is_not_run(open_app, sweeps):
    app = open_app(corrupted="Michelle")
    app.enter(clean="").enter(clean=CLEAN)
    assert sweeps == []


def test_recovery_of_runs_that_do_not_differ_is_refused_in_words(open_app):
    """One text twice cannot be asked for, but a last token apart can leave LD where it was."""
    app = open_app()
    model = keeping.shelf("teaching").model
    plain = app.job.of.plain
    states = [plain.state(side).states for side in ("clean", "corrupted")]
    gap = (states[0] - states[1]) @ model.gpt.lm_head.weight.T  # (V,)
    words = [token.text for token in whole_words(model.encoder)]
    ids = [model.encoder.encode(word)[0] for word in words]
    order = sorted(zip(gap[ids].tolist(), words, strict=True))
    (_, target), (_, foil) = min(pairwise(order), key=lambda pair: pair[1][0] - pair[0][0])
    app.enter(metric="recovery", target=target, foil=foil)
    assert "Choose another target and foil, or another metric." in app.problems[0]
    assert not app.maps
    app.enter(metric="logit_diff")
    assert not app.problems and app.maps


# --- one click ----------------------------------------------------------------------------------


@pytest.mark.parametrize("field, word", [("target", "Jones"), ("foil", "Smith")])
def test_a_missing_space_is_put_in_with_one_click(open_app, field, word):
    app = open_app()
    before = app.map
    app.enter(**{field: word})
    assert app.buttons.count("Put a space before it") == 1
    app.press("Put a space before it")
    assert app.widget(f"field_{field}").value == f" {word}"
    assert "Put a space before it" not in app.buttons
    np.testing.assert_array_equal(app.map, before)


def test_no_space_is_offered_where_it_would_be_no_token(open_app):
    assert "Put a space before it" not in open_app().enter(target="Qzx").buttons


@pytest.mark.parametrize("field, side", [("target", "clean"), ("foil", "corrupted")])
def test_the_top_token_of_a_run_is_put_in_with_one_click(open_app, answer, field, side):
    app = open_app(target=" the", foil=" a")
    top = answer(app.experiment).top[side][0].token
    app.widget(f"top_{field}").click()
    app.run()
    assert app.widget(f"field_{field}").value == top.text
    assert getattr(app.experiment, field) == top.text


def test_what_was_typed_together_with_a_click_is_not_lost(open_app, answer):
    """Both arrive in one run of the page: the click is answered for what was typed."""
    app = open_app(target="Jones")
    typed = presets.PRESETS[0].corrupted.replace("Smith", "Cook")
    app.widget("field_corrupted").set_value(typed)
    app.widget("top_foil").click()
    app.run()
    assert app.experiment.corrupted == typed
    top = answer(replace(app.experiment, target=" a")).top["corrupted"]
    assert app.experiment.foil == top[0].token.text
    app.widget("field_target").set_value("Smith")
    app.press("Put a space before it")
    assert app.experiment.target == " Smith"


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


def test_the_top_token_is_not_offered_for_texts_that_cannot_be_run(open_app):
    app = open_app(clean="")
    assert app.widget("top_target").proto.disabled and app.widget("top_foil").proto.disabled


# --- markup -------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "$x$",
    "**b**",
    "[a](javascript:alert(1))",
    ":red[x] :material/home: --> &amp;",
    "😀👩‍👩‍👧",
    "漢字",
    "مرحبا \u202ex",
    "%{customdata[0]} {target}",
]
# What the app itself writes between, and inside of, what people type.
TAG = re.compile(
    r"</?(div|span|bdi|b|table|tr|th|td)( (class|title|role|style)=\"[^\"<>]*\")*>"
    r"|&(amp|lt|gt|quot|#x27);"
)


def assert_escaped(body: str) -> None:
    rest = TAG.sub("", body)
    assert not set("<>&") & set(rest), rest


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_text_is_shown_as_it_is(open_app, hostile):
    app = open_app().enter(clean=f"{hostile} Mary is", corrupted=f"{hostile} John is")
    assert not app.problems and len(app.maps) == 1
    for body in app.bodies:
        assert_escaped(body)
    ribbon = next(body for body in app.bodies if "pb-ribbon" in body)
    ids = keeping.shelf("teaching").model.encoder.encode(hostile)
    assert f"clean id {ids[0]}," in ribbon
    assert_nowhere_as_markup(app, hostile)


@pytest.mark.parametrize("hostile", ["<i>", "$x$", "**b**", "&lt;", "漢", "a\u202eb", "`x`"])
def test_markup_in_a_token_is_shown_as_it_is(open_app, hostile):
    app = open_app().enter(target=hostile, foil=f" {hostile}")
    assert len(app.problems) == 2
    for body in app.bodies:
        assert_escaped(body)
    assert_nowhere_as_markup(app, hostile)


@pytest.mark.parametrize("token", ["<", "&", "$", "*", "`", "\n"])
def test_a_target_of_markup_is_shown_as_it_is(open_app, token):
    """One byte is one token of any tokenizer of bytes, so these come as far as the figures."""
    app = open_app().enter(target=token, metric="target_prob")
    assert not app.problems
    shown = {"<": "&lt;", "&": "&amp;", "\n": "⏎"}.get(token, token)
    (figure,) = app.maps
    assert figure["data"][0]["colorbar"]["title"]["text"] == f"P({shown})"
    assert f"P({shown})" in next(body for body in app.bodies if "before any patch" in body)


def assert_nowhere_as_markup(app, hostile: str) -> None:
    for kind, text in app.strings():
        assert hostile not in text, f"{kind} has it: {text}"
    for figure in app.figures:
        for tag in ("<script", "<img", "<a "):
            assert tag not in json.dumps(figure)


def test_that_markup_in_markdown_would_be_found(open_app, monkeypatch):
    monkeypatch.setattr(html, "show", lambda markup, width="stretch": st.markdown(markup))
    app = open_app().enter(clean="$x$ Mary is", corrupted="$x$ John is", target="$x$")
    with pytest.raises(AssertionError, match="markdown has it"):
        assert_nowhere_as_markup(app, "$x$")
