"""The pages "How it works" and "Tokens", and moving between them and the first one."""

import numpy as np
import pytest

from core import models, presets
from core.question import tokens
from core.question.metrics import METRICS
from pages.parts import keeping

PAIR = {
    "clean": "The keys near the cabinet",
    "corrupted": "The key near the cabinets",
    "target": " are",
    "foil": " is",
}


@pytest.fixture
def tokens_page(open_app):
    return lambda **query: open_app(**query).go_to("tokens")


def pieces_of(text: str) -> tuple[tokens.Token, ...]:
    return tokens.split(text, keeping.shelf("teaching").model.encoder)


# --- Tokens -------------------------------------------------------------------------------------


def test_tokens_begins_with_the_clean_text(tokens_page):
    app = tokens_page(**PAIR)
    assert app.at.text_area[0].value == PAIR["clean"]


@pytest.mark.parametrize("text", ["The ball is red.", "Qzx", "a\n\tb  c", "漢字 😀", "<b>$x$</b>"])
def test_tokens_shows_the_pieces_and_ids_of_any_text(tokens_page, text):
    app = tokens_page()
    app.at.text_area[0].set_value(text)
    app.run()
    expected = pieces_of(text)
    assert not app.problems
    assert f"{len(expected)} tokens" in [markdown.value for markdown in app.at.markdown]
    assert [(row["position"], row["id"], row["token"]) for row in app.tables[0]] == [
        (position, piece.id, piece.label) for position, piece in enumerate(expected)
    ]
    assert "".join(piece.label for piece in expected) in app.texts
    row = next(body for body in app.bodies if body.startswith('<div class="pb-ribbon">'))
    for piece in expected:
        assert f'title="token id {piece.id}"' in row


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "The typed text is empty"),
        (" \n", "The typed text is empty"),
        ("Mary\x00Jones", "is the control character U+0000"),
    ],
)
def test_tokens_says_what_is_wrong_with_a_text(tokens_page, text, says):
    app = tokens_page()
    app.at.text_area[0].set_value(text)
    app.run()
    assert says in app.problems[0]
    assert app.at.text_area[0].value == text


def test_tokens_opens_while_the_clean_text_is_longer_than_it_takes(open_app):
    app = open_app().enter(clean="a" * 1_000_000).go_to("tokens")
    app.go_to("patch")
    assert app.experiment.clean == "a" * 1_000_000


def test_tokens_finds_words_that_are_one_token(tokens_page):
    app = tokens_page()
    found = tokens.whole_words(keeping.shelf("teaching").model.encoder)
    assert any(markdown.value.startswith(f"{len(found)} words") for markdown in app.at.markdown)
    app.at.text_input[0].set_value("ones")
    app.run()
    words = [token.label for token in found if "ones" in token.text]
    assert "·Jones" in words
    assert "".join(words) in app.texts


@pytest.mark.parametrize("part", ["qqqq", "<script>", "[", "*"])
def test_tokens_finds_no_word_where_there_is_none(tokens_page, part):
    app = tokens_page()
    app.at.text_input[0].set_value(part)
    app.run()
    assert any(markdown.value.startswith("0 words") for markdown in app.at.markdown)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "$x$", "**b**", "\u202ex"])
def test_tokens_shows_markup_as_it_is(tokens_page, hostile):
    app = tokens_page()
    app.at.text_area[0].set_value(hostile)
    app.at.text_input[0].set_value(hostile)
    app.run()
    assert all(hostile not in text for _, text in app.strings())
    assert all("<script" not in body for body in app.bodies)


def test_tokens_of_a_model_that_is_not_here_says_so(tokens_page):
    app = tokens_page(model="gpt2")
    assert app.problems == ["GPT-2 small is not on this machine yet."]


# --- How it works -------------------------------------------------------------------------------


def test_how_it_works_has_an_example_worked_through(open_app, answer):
    app = open_app(**PAIR).go_to("how it works")
    expected = answer(presets.PRESETS[0].experiment("teaching"))
    np.testing.assert_allclose(app.map, np.round(expected.values.astype(float), 4), atol=1e-4)
    table = next(text for text in app.texts if "before any patch" in text)
    assert f"{expected.baselines['logit_diff'].clean:.4f}" in table


def test_how_it_works_explains_every_metric(open_app):
    app = open_app().go_to("how it works")
    shown = app.at.table[0].value
    assert shown["metric"].tolist() == [metric.title for metric in METRICS.values()]
    assert shown["reading"].tolist() == [metric.says for metric in METRICS.values()]


def test_how_it_works_names_the_pitfalls(open_app):
    app = open_app().go_to("how it works")
    words = " ".join(markdown.value for markdown in app.at.markdown)
    for pitfall in ("Token counts", "Leading spaces", "Baselines too close", "not noising"):
        assert pitfall in words


def test_how_it_works_needs_no_model_but_the_teaching_one(open_app):
    app = open_app(model="gpt2-xl").go_to("how it works")
    assert len(app.maps) == 1 and not app.problems


# --- between pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["tokens", "how it works"])
def test_another_page_and_back_keeps_what_was_typed(open_app, page):
    app = open_app(**PAIR).enter(metric="kl", direction="noise", target="no token at all")
    asked = app.experiment
    app.go_to(page)
    assert app.query == asked.to_query()
    app.go_to("patch")
    assert app.experiment == asked
    assert {name: app.widget(f"field_{name}").value for name in asked.to_dict()} == asked.to_dict()


@pytest.mark.parametrize("page", ["tokens", "how it works"])
def test_another_page_and_back_needs_no_other_sweep(open_app, sweeps, page):
    app = open_app()
    figures = app.figures
    app.go_to(page).go_to("patch")
    assert len(sweeps) == 1
    assert app.figures == figures


@pytest.mark.parametrize("page", ["tokens", "how it works"])
def test_an_example_opens_the_first_page_from_any_other(open_app, page):
    app = open_app(**PAIR).go_to(page).press(presets.PRESETS[0].title)
    assert app.has("field_clean")
    assert app.experiment == presets.PRESETS[0].experiment("teaching")


@pytest.mark.parametrize("page", ["tokens", "how it works"])
def test_an_address_names_the_experiment_on_every_page(open_app, page):
    app = open_app(**PAIR, metric="accuracy").go_to(page)
    assert app.experiment.clean == PAIR["clean"]
    assert app.query == app.experiment.to_query()


def test_the_model_can_be_chosen_on_every_page(open_app):
    app = open_app().go_to("tokens").enter(model="gpt2")
    assert app.problems == ["GPT-2 small is not on this machine yet."]
    assert app.query["model"] == "gpt2"
    assert models.TEACHING.title not in app.problems[0]
