"""The pages "How it works" and "Tokens", and moving between them and the first one."""

import numpy as np
import pytest

from core import presets
from core.checks import plain_loop
from core.question import tokens
from core.question.metrics import METRICS
from core.views.sentences import hand_over
from pages.parts import keeping

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
    found = tokens.whole_words(keeping.shelf("teaching").model.encoder)
    assert any(words.startswith(f"{len(found)} words") for words in app.words)
    app.at.text_input[0].set_value("ones")
    app.run()
    words = [token.label for token in found if "ones" in token.text]
    assert "·Jones" in words
    assert "".join(words) in app.texts
    app.at.text_input[0].set_value("[")
    app.run()
    assert any(words.startswith("0 words") for words in app.words)


def test_a_model_that_is_not_here_can_be_chosen_on_tokens_which_says_so(open_app):
    app = open_app().go_to("tokens").enter(model="gpt2")
    assert app.problems == ["GPT-2 small is not on this machine yet."]
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
    assert any(hand_over(expected) in note for note in app.notes)
    (code,) = app.at.get("code")
    assert code.value == plain_loop.source()
    words = " ".join(app.words)
    assert f"with {expected.model.layers} layers" in words
    for pitfall in ("Token counts", "Leading spaces", "Baselines too close", "not noising"):
        assert pitfall in words


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
