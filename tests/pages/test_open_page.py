"""A file that was saved opens as the page it is of, with its numbers beside those of now."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.following import Follow
from core.views import exports, opening, path_files, pictures
from pages.parts import answer as answer_part
from pages.parts import opened as opened_part
from tests.builders import HOSTILE
from tests.pages.conftest import LONGER, LONGER_CORRUPTED, OFFERED, PAGES, values

ASKED = replace(OFFERED[1].experiment("teaching"), direction="noise", metric="prob_diff")


def opened(open_app, content: str | bytes, name: str = "saved.json", app=None):
    """The app after a file was dropped on its page "Open", on the page that this has opened."""
    app = (app or open_app()).go_to("open")
    content = content if isinstance(content, bytes) else content.encode()
    app.at.file_uploader[0].upload(name, content, "application/json")
    page = app.run().at.session_state.page
    return app if page == "open" else app.go_to(page or "patch")


def compared(app) -> str:
    """What is said of the numbers of the file and of now."""
    (said,) = (note for note in app.notes if "omputed again" in note)
    return said


@pytest.fixture
def result(answer):
    return answer(ASKED)


def test_a_map_opens_with_its_inputs_and_its_numbers_beside_those_of_now(open_app, result):
    app = opened(open_app, exports.to_json(result))
    assert app.experiment == ASKED and app.query == ASKED.to_query()
    stored, now = app.maps
    np.testing.assert_allclose(values(stored), values(now), atol=1e-6)
    assert "numbers are equal" in compared(app) or "e-0" in compared(app)
    assert any("same weights as are loaded here" in text for text in app.texts)


def test_a_number_that_was_changed_is_found(open_app, result):
    data = json.loads(exports.to_json(result))
    stored = data["metrics"]["kl"]["values"][3][2]
    data["metrics"]["kl"]["values"][3][2] = stored + 0.5
    data["model"]["fingerprint"] = "ffff"
    app = opened(open_app, json.dumps(data))
    assert "difference is 0.5, at metrics, kl, values[3][2]" in compared(app)
    assert any("other weights of teaching: ffff" in text for text in app.texts)
    app.enter(metric="logit_diff")
    assert any("another question" in note for note in app.notes)
    assert app.press("Back to the file’s question").experiment == ASKED
    assert "difference is 0.5" in compared(app)
    assert not any("0.5, at" in note for note in app.press("Put it away").notes)


def paths_json(teaching) -> str:
    texts = {"clean": LONGER, "corrupted": LONGER_CORRUPTED, "target": " Mary", "foil": " John"}
    asked = replace(ASKED, embedding=False, **texts)
    follow = Follow(asked, teaching, ["6.3.q"], "heads")
    for _ in follow:
        pass
    return path_files.paths_json(follow.read(asked)["6.3.q"])


def test_paths_open_where_they_were_followed_to(open_app, teaching):
    app = opened(open_app, paths_json(teaching))
    assert app.query["trail"] == "6.3.q" and app.query["frozen"] == "heads"
    stored, now, *_ = app.maps
    np.testing.assert_allclose(values(stored), values(now), atol=1e-5)
    assert "omputed again" in compared(app)


@pytest.mark.parametrize("page", ["components", "compare", "lens", "sets"])
def test_what_a_page_wrote_opens_as_that_page(open_app, monkeypatch, page):
    written = []
    with monkeypatch.context() as patched:
        patched.setattr(answer_part.opened, "beside", written.append)
        open_app(**ASKED.to_query(), set="6.3 mlp2").go_to(page)
    again = opened(open_app, written[-1]())
    same = {name: getattr(ASKED, name) for name in ("direction", "embedding")}  # of no matter here
    assert again.at.session_state.page == page and replace(again.experiment, **same) == ASKED
    assert "numbers are equal" in compared(again)


def test_a_map_of_many_pairs_opens_with_its_pack_and_how_its_pairs_are_used(open_app, monkeypatch):
    written = []
    with monkeypatch.context() as patched:
        patched.setattr(answer_part.opened, "beside", written.append)
        app = open_app(keep="flips", metric="recovery", pack="teaching-capital").go_to("many")
        app.press(next(label for label in app.buttons if label.startswith("Run ")))
    again = opened(open_app, written[-1]())
    assert again.query == app.query
    assert "numbers are equal" in compared(again)  # a finished map is every session's
    stored, now = again.maps
    np.testing.assert_allclose(values(stored), values(now), atol=1e-5)


@pytest.mark.parametrize("format", ["png", "svg"])
def test_a_picture_opens_as_what_it_shows(open_app, result, format):
    picture = pictures.picture(result, format, "assignment")
    app = opened(open_app, picture, f"map.{format}")
    assert app.query == ASKED.to_query() | {"view": "assignment"}


def test_a_file_that_cannot_be_opened_says_so_in_a_sentence_and_nothing_is_lost(open_app, result):
    app = open_app().enter(clean="What I typed")
    before = app.query
    data = json.loads(exports.to_json(result))
    data["axes"] = ["<script>alert(1)</script>"]
    for content in (json.dumps(data), b"{", b"PK\3\4", "[" * 9999, '{"model": NaN}'):
        opened(open_app, content, "<b>**x**</b>.json", app)
        (problem,) = app.problems
        assert "“<b>**x**</b>.json” cannot be opened." in problem
        assert app.go_to("patch").query == before


def test_the_words_of_a_file_are_never_markup(open_app, result):
    hostile = replace(ASKED, clean=" ".join(HOSTILE), model="<img src=x>")
    data = json.loads(exports.to_json(result)) | {"experiment": hostile.to_dict()}
    data["model"]["name"] = "<img src=x onerror=alert(1)>"
    app = opened(open_app, json.dumps(data), "$x$ <script>.json")
    assert not [body for body in app.bodies if "<img" in body or "<script" in body]
    assert app.experiment.model == "teaching"
    assert any("There is no model '<img src=x>'" in note for note in app.notes)


def test_what_is_stored_stands_there_while_its_model_is_not_here(open_app, result):
    data = json.loads(exports.to_json(replace(result, experiment=replace(ASKED, model="gpt2"))))
    app = opened(open_app, json.dumps(data))
    assert "Not computed again yet." in app.notes
    np.testing.assert_allclose(values(app.maps[0]), result.values, atol=1e-6)


def test_every_page_that_a_file_can_be_of_is_one_of_the_app():
    titles = dict(opened_part._PAGES.values())
    assert {*titles.values()} <= {*PAGES.values()}
    assert {page for page in opened_part._PAGES} == {*opening._PAGES}


def test_a_file_of_a_page_that_a_worksheet_hides_opens_on_the_main_one(
    open_app, teaching, monkeypatch
):
    monkeypatch.setattr(opened_part.sheet, "hides", lambda title: title not in ("Patch", "Open"))
    app = open_app().go_to("open")
    app.at.file_uploader[0].upload("a.json", paths_json(teaching).encode(), "application/json")
    assert app.run().at.session_state.page == ""
