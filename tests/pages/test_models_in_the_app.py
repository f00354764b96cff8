"""Choosing a model: what is here, what needs a download, and what cannot be used."""

import pytest

from mingpt import hub
from pages.parts import keeping
from tests import builders

ASKED = builders.experiment().to_query()
TYPED = {field: ASKED[field] for field in ("clean", "corrupted", "target", "foil")}


@pytest.fixture
def hub_with_gpt2(monkeypatch, tmp_path):
    """A download of "gpt2" brings the tiny model, at the second attempt."""
    folder, begun = tmp_path / "hub" / "gpt2", []

    def fetch(name, on_progress=None):
        if folder.is_dir():
            return folder
        begun.append(name)
        on_progress(hub.Progress(100_000_000, 400_000_000, 50e6, 6.0))
        if len(begun) == 1:
            raise hub.HubError("the cable was cut.")
        return builders.write_model_folder(folder)

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "locate", lambda name: folder if folder.is_dir() else None)
    monkeypatch.setattr(hub, "locate_tokenizer", lambda: folder if folder.is_dir() else None)
    keeping._shelf.clear()
    yield begun
    keeping._shelf.clear()


def fields(app) -> dict[str, str]:
    return {name: app.widget(f"field_{name}").value for name in TYPED}


def test_the_catalogue_marks_what_needs_a_download_and_what_has_been_begun(open_app, tmp_path):
    part = tmp_path / "cache" / "gpt2-medium" / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"0" * 1000)
    assert open_app().widget("field_model").options == [
        "Teaching model",
        "GPT-2 small (needs a download)",
        "GPT-2 medium (partly downloaded)",
        "GPT-2 large (needs a download)",
        "GPT-2 XL (needs a download)",
    ]


def test_a_model_that_is_not_here_says_what_its_download_takes_and_keeps_what_was_typed(
    open_app, hub_with_gpt2
):
    app = open_app(**ASKED).enter(model="gpt2", metric="kl")
    assert "GPT-2 small is not on this machine yet." in app.notes[0]
    assert "about 550 MB" in app.notes[0]
    assert "Download 550 MB" in app.buttons
    assert not app.maps and not app.problems
    app.enter(clean="typed meanwhile").go_to("tokens").go_to("patch")
    assert hub_with_gpt2 == []
    app.enter(model="teaching")
    assert fields(app) == TYPED | {"clean": "typed meanwhile"}
    assert app.experiment.metric == "kl"


def test_a_download_shows_how_far_it_is_says_why_it_failed_and_can_be_tried_again(
    open_app, hub_with_gpt2
):
    app = open_app(**ASKED | {"model": "gpt2"}).press("Download 550 MB")
    (bar,) = app.at.get("progress")
    assert (bar.value, bar.text) == (25, "100 of 400 MB, 50.0 MB/s, 6 s left")
    assert app.problems == ["the cable was cut. The teaching model needs no download."]
    assert fields(app) == TYPED and not app.maps
    app.press("Try again")
    assert hub_with_gpt2 == ["gpt2"] * 2
    assert app.maps and not app.problems
    assert fields(app) == TYPED
    assert app.widget("field_model").options[1] == "GPT-2 small"


def test_a_local_folder_is_a_model_to_choose(open_app, folders):
    app = open_app(**TYPED).enter(model="local/tiny")
    assert app.maps and not app.problems
    assert app.maps[0]["layout"]["yaxis"]["ticktext"] == ["embedding", "0", "1", "2"]
    assert any("3 layers of width 8" in text for text in app.texts)


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json"])
def test_a_model_that_cannot_be_used_says_what_is_wrong(open_app, folders, file):
    (folders / "tiny" / file).write_bytes(b"\xff\xfe")
    app = open_app(**TYPED, model="local/tiny")
    assert file in app.problems[0]
    assert fields(app) == TYPED
    app.go_to("tokens").go_to("patch").enter(model="teaching")
    assert app.experiment.model == "teaching"


def test_a_model_with_markup_for_a_name_is_shown_as_it_is(open_app, folders):
    builders.write_model_folder(folders / "<b>$x$")
    app = open_app(**TYPED, model="local/<b>$x$")
    assert app.maps and not app.problems
    assert all("<b>$" not in body for body in app.bodies)
