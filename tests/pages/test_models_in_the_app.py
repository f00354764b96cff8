"""Choosing a model: what is here, what needs a download, and what cannot be used."""

import hashlib
import os
from pathlib import Path

import pytest
from streamlit.delta_generator import DeltaGenerator

from core.engine import work
from core.presets import PRESETS
from mingpt import hub
from mingpt.download import File
from mingpt.hub import Release
from pages.parts import download, keeping
from tests import builders
from tests.stand_in_hub import Answer, StandInHub

ASKED = builders.experiment().to_query()
TITLES = {preset.title for preset in PRESETS}
TYPED = {field: ASKED[field] for field in ("clean", "corrupted", "target", "foil")}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A hub whose "gpt2" is the tiny model."""
    folder = builders.write_model_folder(tmp_path / "published")
    contents = {file.name: (folder / file.name).read_bytes() for file in hub.MODELS["gpt2"].files}
    files = (
        File(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )
    release = Release("openai-community/gpt2", "0" * 40, tuple(files))
    monkeypatch.setitem(hub.MODELS, "gpt2", release)
    keeping._loaded.clear()
    with StandInHub({release.repo: contents}) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield stand_in
    keeping._loaded.clear()


@pytest.fixture
def bars(monkeypatch) -> list[str]:
    """What every bar has said."""
    said, draw = [], DeltaGenerator.progress

    def progress(self, value, text=None, **options):
        said.append(text)
        return draw(self, value, text=text, **options)

    monkeypatch.setattr(DeltaGenerator, "progress", progress)
    return said


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
        "DistilGPT-2 (needs a download)",
    ]


def test_a_model_that_is_not_here_says_what_its_download_takes_and_keeps_what_was_typed(
    open_app, monkeypatch
):
    monkeypatch.setattr(hub, "free_space", lambda folder: 20_000_000_000)
    monkeypatch.setattr(work, "available_memory", lambda: 5_400_000_000)
    download._last_rate.clear()
    app = open_app(**ASKED).enter(model="gpt2", metric="kl")
    assert app.notes[0] == (
        "GPT-2 small is not on this machine yet. Download, once: 550 MB, about 55 s at 10.0 MB/s."
        " Disk: 20.0 GB free. Memory when it runs: 1 GB (free: 5.4 GB). What you have typed stays."
    )
    assert "Download 550 MB" in app.buttons
    assert all(app.widget(top).proto.disabled for top in ("top_target", "top_foil"))
    assert not app.figures and app.answered is None  # nothing of the model before it is left
    assert [preset.title for preset in PRESETS] == [b for b in app.buttons if b in TITLES]
    assert not app.maps and not app.problems
    app.enter(clean="typed meanwhile").go_to("tokens").go_to("patch")
    app.press("Use the teaching model, keep the texts")
    assert fields(app) == TYPED | {"clean": "typed meanwhile"}
    assert (app.experiment.model, app.experiment.metric) == ("teaching", "kl")


def test_a_download_that_the_disk_has_no_room_for_is_not_offered(open_app, monkeypatch):
    monkeypatch.setattr(hub, "free_space", lambda folder: 3_000_000)
    app = open_app(**ASKED | {"model": "gpt2"})
    assert f"{hub.cache_folder() / 'gpt2'} needs 550 MB and has 3 MB left" in app.problems[0]
    assert next(b for b in app.at.button if b.label == "Download 550 MB").disabled


def test_a_download_that_failed_leaves_no_bar_and_is_seen_to_be_tried_again(
    open_app, stand_in, bars
):
    stand_in.plan("config.json", Answer(status=404))
    app = open_app(**ASKED | {"model": "gpt2"}).press("Download 0 MB")
    assert bars[0] == "Connecting…"
    assert "does not exist (HTTP 404)" in app.problems[0]
    assert not app.at.get("progress") and not app.maps
    assert "Cancel the download" not in app.buttons
    assert fields(app) == TYPED
    del bars[:]
    app.press("Try again")
    assert bars[0] == "Connecting…" and "of 0 MB" in bars[-1]
    assert app.maps and not app.problems
    assert fields(app) == TYPED
    assert app.widget("field_model").options[1] == "GPT-2 small"


def test_files_brought_by_hand_as_the_page_says_are_found(open_app, stand_in, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    app = open_app(**ASKED | {"model": "gpt2"})
    addresses, folder = (node.value for node in app.at.get("code"))
    contents = stand_in.repos["openai-community/gpt2"]
    for address in addresses.split():
        stem, _, name = address.rpartition("/")
        assert stem == f"https://huggingface.co/openai-community/gpt2/resolve/{'0' * 40}"
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(contents[name])
    cut = Path(folder) / "vocab.json"
    cut.write_bytes(contents["vocab.json"][:1000])
    (table,) = open_app(**ASKED | {"model": "gpt2"}).tables
    assert [row["there"] for row in table] == ["yes", "another one, of 1,000", "yes", "yes"]
    cut.write_bytes(contents["vocab.json"])
    app = open_app(**ASKED | {"model": "gpt2"})
    assert app.maps and not app.problems
    assert stand_in.requests == []


def test_a_download_tells_its_rate_and_the_next_ones_time_at_it(open_app, monkeypatch, bars):
    def fetch(name, on_progress):
        on_progress(hub.Progress(0, 400_000_000, 0.0, None))
        on_progress(hub.Progress(100_000_000, 400_000_000, 50e6, 6.0))
        raise hub.HubError("the cable was cut.")

    monkeypatch.setattr(hub, "resolve", lambda name: None)
    monkeypatch.setattr(hub, "fetch", fetch)
    open_app(model="gpt2").press("Download 550 MB")
    assert bars == [
        "Connecting…",
        "Connecting… 0 of 400 MB",
        "100 of 400 MB, 50.0 MB/s, 6 s left",
    ]
    said = open_app(model="gpt2-xl").notes[0]
    download._last_rate.clear()
    assert "about 2 min 9 s at 50.0 MB/s, the rate of the last download" in said


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


@pytest.mark.parametrize("offset", [-1, 200])  # of weights, or of what describes them
def test_a_file_that_was_damaged_in_the_cache_is_downloaded_again_with_one_click(
    open_app, stand_in, offset
):
    app = open_app(**ASKED | {"model": "gpt2"}).press("Download 0 MB")
    assert app.maps
    path = hub.cache_folder() / "gpt2" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    app = open_app(**ASKED | {"model": "gpt2"})
    assert f"{path} is damaged: it no longer holds what was downloaded." in app.problems[0]
    assert not app.maps
    asked = len(stand_in.requests)
    app.press("Download it again")
    assert app.maps and not app.problems
    assert {request.file for request in stand_in.requests[asked:]} == {path.name}
    assert fields(app) == TYPED


def test_folders_of_any_kind_among_the_models_harm_nobody(open_app, folders):
    (folders / "deep").mkdir()
    (folders / "deep" / "config.json").write_text("[" * 99_999)
    (folders / "piped").mkdir()
    os.mkfifo(folders / "piped" / "config.json")
    os.mkdir(os.fsencode(folders) + b"/\xff")
    os.link(folders / "tiny" / "config.json", os.fsencode(folders) + b"/\xff/config.json")
    (folders / "round").symlink_to("round")
    app = open_app()
    assert app.maps and not app.problems
    local = [title for title in app.widget("field_model").options if "local" in title]
    assert local == ["local/deep", "local/piped", "local/round", "local/tiny"]
    assert "it is nested too deeply" in open_app(**TYPED, model="local/deep").problems[0]
    assert "Too many levels" in open_app(**TYPED, model="local/round").problems[0]
    assert "it is no file" in open_app(**TYPED, model="local/piped").problems[0]
    assert open_app(**TYPED, model="local/tiny").maps
