"""What was asked in this session is a click away, and nothing of it leaves the session unasked."""

import json

from core.views import history
from tests.pages.conftest import TITLES
from tests.pages.test_open_page import opened


def asked(app) -> list[str]:
    """The titles of the list on the page "Open"."""
    app.go_to("open")
    return [text for body, text in zip(app.bodies, app.texts, strict=True) if "pb-before" in body]


def test_every_answer_is_in_the_list_and_opens_as_it_was(open_app):
    app = open_app()
    first = app.experiment
    app.press(TITLES[1]).enter(metric="kl").choose("3", 2)
    app.go_to("follow").go_to("lens")
    titles = asked(app)
    kinds = ["lens, kl", "paths into logits, kl", "stream, denoise, kl", "logit diff", "logit diff"]
    assert len(titles) == 5
    assert all(kind in title for kind, title in zip(kinds, titles, strict=True))
    app.widget("asked_open_2").click()
    app.run().go_to("patch")
    assert app.query["metric"] == "kl" and app.query["cell"] == "3,2"
    asked(app)
    app.widget("asked_open_4").click()
    assert app.run().go_to("patch").experiment == first


def test_what_cannot_be_answered_is_not_in_the_list(open_app):
    app = open_app().enter(clean="Too short")
    assert app.problems and len(asked(app)) == 1


def test_the_list_is_saved_opened_again_and_forgotten(open_app):
    app = open_app().press(TITLES[1]).press(TITLES[2])
    assert len(asked(app)) == 3
    file = json.dumps(history.to_dict(app.at.session_state.history))
    app.widget("asked_remove_1").click()
    app.run()
    assert len(asked(app)) == 2
    other = opened(open_app, file, "patchboard-history.json")
    assert any("2 questions were added" in note for note in other.notes)  # it had one of them
    assert len(asked(other)) == 3
    assert not asked(app.press("Forget them all"))


def test_the_words_of_a_list_are_never_markup(open_app):
    title = "<img src=x onerror=alert(1)> **$x$**"
    entry = {"page": "", "query": {"clean": title}, "title": title, "about": title}
    entry |= {"when": "2026-01-02T03:04:05+00:00", "picture": ""}
    app = opened(open_app, json.dumps({"patchboard": "history", "asked": [entry]}))
    assert not [body for body in app.bodies if "<img src=x" in body]
    assert any(title in text for text in app.texts)
