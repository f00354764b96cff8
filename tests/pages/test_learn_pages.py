"""The pages "How it works" and "Tokens", and moving between them and the first one."""

from dataclasses import replace

import numpy as np
import pytest

from core import presets
from core.checks import plain_loop, verify
from core.question import tokens
from core.question.metrics import METRICS
from core.views.sentences import where_it_is
from pages.parts import keeping
from tests.pages.conftest import nothing_by_itself, numbers

PAIR = {
    "clean": "The keys near the cabinet",
    "corrupted": "The key near the cabinets",
    "target": " are",
    "foil": " is",
}


# --- Tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [PAIR["clean"], "Qzx\n\tb  漢字 😀", "<script>$x$ **b** \u202ex"])
def test_tokens_shows_the_pieces_and_ids_of_any_text_as_they_are(open_app, text):
    app = open_app(**PAIR).go_to("tokens")
    assert app.at.text_area[0].value == PAIR["clean"]
    app.at.text_area[0].set_value(text)
    app.at.text_input[0].set_value(text)
    app.run()
    expected = tokens.split(text, keeping.shelf("teaching").model.encoder)
    assert not app.problems
    assert f"{len(expected)} tokens" in app.words
    assert [(row["position"], row["id"], row["token"]) for row in app.tables[0]] == [
        (position, piece.id, piece.label) for position, piece in enumerate(expected)
    ]
    assert "".join(piece.label for piece in expected) in app.texts
    row = next(body for body in app.bodies if body.startswith('<div class="pb-ribbon">'))
    for piece in expected:
        assert f'title="token id {piece.id}"' in row
    assert all(text not in shown for _, shown in app.strings())
    assert all("<script" not in body for body in app.bodies)


def test_tokens_says_what_is_wrong_with_a_text_and_leaves_the_longest_as_it_was(open_app):
    app = open_app().enter(clean="a" * 1_000_000).go_to("tokens")
    app.at.text_area[0].set_value(" \n")
    app.run()
    assert "The typed text is empty" in app.problems[0]
    assert app.at.text_area[0].value == " \n"
    assert app.go_to("patch").experiment.clean == "a" * 1_000_000


def test_tokens_finds_words_that_are_one_token(open_app):
    app = open_app().go_to("tokens")
    for part, words in {"ones": ["Jones", "honest", "stones"], "[": []}.items():
        app.at.text_input[0].set_value(part)
        app.run()
        assert f"{len(words)} words" in app.words
        assert app.widget("swap_Found").options == words
    app.at.text_input[0].set_value("a")
    app.run()
    found = tokens.whole_words(keeping.shelf("teaching").model.encoder, "a")
    assert len(app.widget("swap_Found").options) == min(len(found), 200)


def test_a_click_on_a_word_puts_it_where_the_texts_differ_or_where_one_says(open_app):
    app = open_app().go_to("tokens")

    def place():
        return next(node for node in app.at.selectbox if node.label == "in place of")

    assert place().options[place().value] == "1: ·Smith"
    app.widget("swap_Surnames").set_value("Turner")
    app.run()
    assert place().options[place().value] == "1: ·Turner"
    text = "Michelle Turner was a top-notch student. Michelle"
    assert app.experiment.corrupted == app.query["corrupted"] == text
    assert f"The corrupted text is now “{text}”: 10 tokens; the clean text has 10." in app.notes
    assert app.widget("swap_Surnames").value is None  # the same word can be put in once more
    app.widget("swap_field").set_value("clean")
    app.run()
    place().set_value(0)
    app.run()
    app.widget("swap_First names, she").set_value("Jessica")
    app.run()
    assert app.experiment.clean.startswith("Jessica Jones was")  # with no space before it
    assert app.experiment.corrupted == text
    place().set_value(7)
    app.run()
    app.widget("swap_Jobs").set_value("teacher")
    app.run()
    assert place().options[place().value] == "7: ·teacher"
    app.widget("swap_field").set_value("foil")
    app.run()
    app.widget("swap_Surnames").set_value("Turner")
    app.run()
    assert app.experiment.foil == " Turner" and "The foil is now ·Turner." in app.notes
    app.go_to("patch")
    assert app.maps and app.widget("field_corrupted").value == text


def test_a_model_that_is_not_here_can_be_chosen_on_tokens_which_says_so(open_app):
    app = open_app().go_to("tokens").enter(model="gpt2")
    assert app.notes[0].startswith("GPT-2 small is not on this machine yet.")
    assert app.query["model"] == "gpt2"


# --- How it works -------------------------------------------------------------------------------


def test_how_it_works_explains_an_example_metrics_and_pitfalls_with_the_teaching_model_alone(
    open_app, answer
):
    app = open_app(**PAIR, model="gpt2-xl").go_to("how it works")
    assert not app.problems
    expected = answer(presets.PRESETS[0].experiment("teaching"))
    np.testing.assert_allclose(app.map, np.round(expected.values.astype(float), 4), atol=1e-4)
    table = next(text for text in app.texts if "before any patch" in text)
    assert f"{expected.baselines['logit_diff'].clean:.4f}" in table
    shown = app.at.table[0].value
    assert shown["metric"].tolist() == [metric.title for metric in METRICS.values()]
    assert shown["reading"].tolist() == [metric.says for metric in METRICS.values()]
    assert any(where_it_is(expected) in note for note in app.notes)
    (code,) = app.at.get("code")
    assert code.value == plain_loop.source()
    words = " ".join(app.words)
    assert f"with {expected.model.layers} layers" in words
    for pitfall in ("Token counts", "Leading spaces", "Baselines too close", "not noising"):
        assert pitfall in words


# --- Is it right? -------------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch) -> list:
    """One entry for every run of all checks; none has been before."""
    begun, checks = [], verify.checks

    def counted(model):
        begun.append(model)
        yield from checks(model)

    monkeypatch.setattr(verify, "checks", counted)
    keeping.checks_of.cache_clear()
    keeping._loaded.clear()  # and what sessions keep on it
    return begun


def test_the_teaching_model_is_checked_for_the_first_visitor_and_the_next_sees_it(
    open_app, checked
):
    app = open_app().go_to("is it right")
    for visit in (app, open_app().go_to("is it right")):
        assert any("**6 of 6 checks passed** on this server" in words for words in visit.words)
        assert [row["held against"] for row in visit.tables[0]][:2] == [
            "one forward pass for each cell",
            "the corrupted run",
        ]
    assert len(checked) == 1
    app.press("Check again")
    assert len(checked) == 2
    assert any("**6 of 6 checks passed**" in words for words in app.words)


def test_the_experiments_map_stands_beside_that_of_plain_runs_and_their_difference(
    open_app, answer
):
    app = open_app(direction="noise", metric="recovery", site="mlp_out").go_to("is it right")
    asked = replace(app.experiment, site="resid_post", metric="logit_diff", embedding=False)
    expected = answer(asked).values
    sweep, loop, difference = (numbers(shown["data"][0]["z"]) for shown in app.maps)
    np.testing.assert_allclose(sweep, expected, atol=1e-4)
    np.testing.assert_allclose(loop, expected, atol=1e-4)
    np.testing.assert_allclose(difference, sweep - loop, atol=1e-6)
    assert (sweep != loop).any()  # two ways to the same numbers
    assert f"**Difference: at most {np.abs(sweep - loop).max():.1e}**" in app.words


def test_what_takes_long_is_asked_for_with_its_seconds(open_app, monkeypatch, checked):
    nothing_by_itself(monkeypatch)
    app = open_app().go_to("is it right")
    for maps in (0, 0, 3):  # the checks, the sweep, the plain runs
        assert any("This takes about" in words for words in app.words) and not app.maps
        app.press("Run it")
        assert len(app.maps) == maps
    assert len(checked) == 1


def test_what_was_published_for_gpt2_stands_there_before_it_is_here(open_app):
    app = open_app(model="gpt2").go_to("is it right")
    (table,) = (table for table in app.tables if "published" in table[0])
    assert [row["published"] for row in table] == [of.published for of in verify.announced()]
    assert {row["ours"] for row in table} == {"not run yet"}


# --- between pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["tokens", "how it works"])
def test_another_page_keeps_what_was_typed_and_computed_and_an_example_leads_back(
    open_app, sweeps, page
):
    app = open_app()
    figures = app.figures
    assert app.go_to(page).go_to("patch").figures == figures
    assert len(sweeps) == 1
    app.enter(**PAIR | {"target": "no token at all"}, metric="kl", direction="noise")
    asked = app.experiment
    assert app.go_to(page).query == asked.to_query()
    assert app.go_to("patch").experiment == asked
    assert {name: app.widget(f"field_{name}").value for name in asked.to_dict()} == asked.to_dict()
    app.go_to(page).press(presets.PRESETS[0].title)
    assert app.has("field_clean") and app.experiment == presets.PRESETS[0].experiment("teaching")
