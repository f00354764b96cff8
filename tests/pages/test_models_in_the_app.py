"""Choosing a model: what is here, what needs a download, and what cannot be used."""

import json

import pytest

from core import models
from mingpt import hub
from pages.parts import keeping
from tests import builders

TYPED = {
    "clean": builders.CLEAN,
    "corrupted": builders.CORRUPTED,
    "target": " Lee",
    "foil": " Poe",
}


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """A directory whose subfolders the app offers, with one sound model in it."""
    builders.write_model_folder(tmp_path / "models" / "tiny")
    monkeypatch.setenv("PATCHBOARD_MODELS", str(tmp_path / "models"))
    keeping._shelf.clear()
    yield tmp_path / "models"
    keeping._shelf.clear()


@pytest.fixture
def hub_with_gpt2(monkeypatch, tmp_path):
    """A download of "gpt2" brings the tiny model, in three steps."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder, begun = tmp_path / "hub" / "gpt2", []

    def fetch(name, on_progress=None):
        if folder.is_dir():
            return folder
        begun.append(name)
        for done in (1, 2, 3):
            on_progress(hub.Progress(done * 100_000_000, 300_000_000, 50e6, 6.0 - 2 * done))
        return builders.write_model_folder(folder)

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "locate", lambda name: folder if folder.is_dir() else None)
    monkeypatch.setattr(hub, "locate_tokenizer", lambda: folder if folder.is_dir() else None)
    keeping._shelf.clear()
    yield begun
    keeping._shelf.clear()


def test_the_catalogue_marks_what_needs_a_download(open_app):
    options = open_app().widget("field_model").options
    assert options[0] == "Teaching model"
    assert options[1:] == [
        f"GPT-2 {size} (needs a download)" for size in ("small", "medium", "large", "XL")
    ]


def test_the_catalogue_marks_what_has_been_begun(open_app, tmp_path):
    part = tmp_path / "cache" / "gpt2-medium" / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"0" * 1000)
    assert "GPT-2 medium (partly downloaded)" in open_app().widget("field_model").options


def test_a_model_that_is_not_here_says_what_its_download_takes(open_app):
    app = open_app(**TYPED, model="gpt2")
    assert "GPT-2 small is not on this machine yet." in app.notes[0]
    assert "about 550 MB" in app.notes[0]
    assert "Download 550 MB" in app.buttons
    assert not app.maps and not app.problems


def test_a_model_that_is_not_here_keeps_what_was_typed(open_app):
    app = open_app(**TYPED).enter(model="gpt2", metric="kl")
    app.enter(clean="typed meanwhile")
    app.enter(model="teaching")
    assert app.experiment.clean == "typed meanwhile"
    assert app.experiment.corrupted == TYPED["corrupted"]
    assert app.experiment.metric == "kl"


def test_a_download_that_fails_says_why_and_keeps_what_was_typed(open_app, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    app = open_app(**TYPED, model="gpt2").press("Download 550 MB")
    (problem,) = app.problems
    assert "HF_HUB_OFFLINE forbids downloading it" in problem
    assert "The teaching model needs no download." in problem
    assert {name: app.widget(f"field_{name}").value for name in TYPED} == TYPED


def test_a_download_that_failed_can_be_tried_again(open_app, hub_with_gpt2, monkeypatch):
    fetch = hub.fetch

    def fail(name, on_progress):
        raise hub.HubError("the cable was cut.")

    monkeypatch.setattr(hub, "fetch", fail)
    app = open_app(**TYPED, model="gpt2").press("Download 550 MB")
    assert "the cable was cut." in app.problems[0]
    monkeypatch.setattr(hub, "fetch", fetch)
    app.press("Try again")
    assert app.maps and not app.problems


def test_a_download_ends_in_a_map_of_what_was_typed(open_app, hub_with_gpt2):
    app = open_app(**TYPED, model="gpt2").press("Download 550 MB")
    assert hub_with_gpt2 == ["gpt2"]
    assert app.maps and not app.problems
    assert {name: app.widget(f"field_{name}").value for name in TYPED} == TYPED
    assert app.widget("field_model").options[1] == "GPT-2 small"


def test_a_download_is_not_begun_by_choosing_the_model(open_app, hub_with_gpt2):
    open_app(**TYPED, model="gpt2").enter(metric="kl").go_to("tokens").go_to("patch")
    assert hub_with_gpt2 == []


def test_a_download_shows_how_far_it_is(open_app, hub_with_gpt2, monkeypatch):
    def fetch(name, on_progress):
        on_progress(hub.Progress(100_000_000, 400_000_000, 50e6, 6.0))
        raise hub.HubError("the cable was cut")

    monkeypatch.setattr(hub, "fetch", fetch)
    app = open_app(**TYPED, model="gpt2").press("Download 550 MB")
    (bar,) = app.at.get("progress")
    assert (bar.value, bar.text) == (25, "100 of 400 MB, 50.0 MB/s, 6 s left")


def test_a_local_folder_is_a_model_to_choose(open_app, folders):
    app = open_app(**TYPED).enter(model="local/tiny")
    assert app.maps and not app.problems
    assert app.maps[0]["layout"]["yaxis"]["ticktext"] == ["embedding", "0", "1", "2"]
    assert any("3 layers of width 8" in text for text in app.texts)


def test_a_folder_that_is_no_model_is_not_offered(open_app, folders):
    (folders / "photos").mkdir()
    assert "local/photos" not in open_app().widget("field_model").options
    assert "'local/photos'" in open_app(model="local/photos").notes[0]


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: cut(folder / "model.safetensors"), "model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: change(folder / "config.json", n_embd=16), "transformer.h.0"),
        (lambda folder: (folder / "vocab.json").unlink(), "vocab.json"),
        (lambda folder: (folder / "merges.txt").write_bytes(b"\xff\xfe"), "merges.txt"),
    ],
    ids=["no weights", "cut weights", "broken config", "other shapes", "no vocabulary", "merges"],
)
def test_a_model_that_cannot_be_used_says_what_is_wrong(open_app, folders, damage, says):
    damage(folders / "tiny")
    app = open_app(**TYPED, model="local/tiny")
    assert says in app.problems[0]
    assert {name: app.widget(f"field_{name}").value for name in TYPED} == TYPED
    app.go_to("tokens").go_to("patch")
    app.enter(model="teaching")
    assert models.TEACHING.name == app.experiment.model


def test_a_model_with_markup_for_a_name_is_shown_as_it_is(open_app, folders):
    builders.write_model_folder(folders / "<b>$x$")
    app = open_app(**TYPED, model="local/<b>$x$")
    assert app.maps and not app.problems
    assert all("<b>$" not in body for body in app.bodies)


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def change(path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
