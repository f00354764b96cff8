"""Where models are looked for, and what fetching one brings, on a stand-in for the hub."""

import hashlib
import os
import random
import re
import shutil
from pathlib import Path

import pytest

from mingpt import hub, places, progress
from mingpt.download import CHUNK, File
from mingpt.hub import HubError, Release
from tests.stand_in_hub import Answer, StandInHub

CONTENTS = {
    "config.json": b'{"n_layer": 1}',
    "vocab.json": b'{"a": 0}',
    "merges.txt": b"#version: 0.2\n",
    "model.safetensors": random.Random(0).randbytes(200_000),
}
REVISION = "0123456789abcdef0123456789abcdef01234567"
SIZE = sum(map(len, CONTENTS.values()))


def small_release(name: str, pinned: bool) -> Release:
    known = CONTENTS if pinned else hub.TOKENIZER_FILES
    files = tuple(
        File(file, len(content), hashlib.sha256(content).hexdigest() if file in known else None)
        for file, content in CONTENTS.items()
    )
    return Release(f"openai-community/{name}", REVISION, files)


@pytest.fixture(autouse=True)
def small_models(bare_machine, monkeypatch):
    """Models small enough to test with."""
    models = {"gpt2": small_release("gpt2", True), "gpt2-xl": small_release("gpt2-xl", False)}
    monkeypatch.setattr(hub, "MODELS", models)


@pytest.fixture
def stand_in(monkeypatch):
    repos = {release.repo: dict(CONTENTS) for release in hub.MODELS.values()}
    with StandInHub(repos) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


def place(folder: Path, *left_out: str) -> Path:
    """Put the files of a model into `folder`, without those `left_out`."""
    folder.mkdir(parents=True)
    for name in CONTENTS.keys() - set(left_out):
        (folder / name).write_bytes(CONTENTS[name])
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    there = (path for path in folder.iterdir() if path.suffix != ".checked")
    return {path.name: path.read_bytes() for path in there}


# The releases


def test_every_release_names_a_commit_and_shares_the_tokenizer(monkeypatch):
    monkeypatch.undo()
    *releases, other = hub.MODELS
    assert releases == ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    assert (other, hub.MODELS[other].repo) == ("distilgpt2", "distilbert/distilgpt2")
    for name in releases:
        release = hub.MODELS[name]
        assert release.repo == f"openai-community/{name}"
        assert re.fullmatch("[0-9a-f]{40}", release.revision)
        assert [file.name for file in release.files] == list(CONTENTS)
        assert release.files[1:3] == hub.MODELS["gpt2"].files[1:3]
    assert all(file.checksum for file in hub.MODELS["gpt2"].files)
    assert hub.MODELS["gpt2"].download_bytes == 548_105_171 + 665 + 1_042_301 + 456_318


# Fetching


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])
def test_fetch_brings_the_four_files_once(stand_in, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    folder = hub.fetch(name)
    assert folder == tmp_path / "home" / ".cache" / "patchboard" / name
    assert content_of(folder) == CONTENTS
    asked = len(stand_in.requests)
    assert hub.fetch(name) == folder
    assert len(stand_in.requests) == asked == 5  # four files, one of them redirected


def test_the_pinned_revision_is_asked_for(monkeypatch):
    urls = []
    monkeypatch.setenv("HF_ENDPOINT", "https://hub/")
    monkeypatch.setattr(hub, "download", lambda url, folder, file, *_: urls.append(url))
    hub.fetch("gpt2")
    assert urls[0] == f"https://hub/openai-community/gpt2/resolve/{REVISION}/config.json"


def test_the_tokenizer_alone_is_two_small_files_that_fetch_then_keeps(stand_in):
    folder = hub.fetch_tokenizer()
    assert content_of(folder).keys() == {"vocab.json", "merges.txt"}
    assert hub.fetch_tokenizer() == hub.locate_tokenizer() == folder
    assert hub.locate("gpt2") is None
    assert hub.fetch("gpt2") == folder
    assert len(stand_in.content_requests("vocab.json")) == 1


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])
def test_progress_rises_to_the_whole_download_five_times_a_second(stand_in, monkeypatch, name):
    ticks = iter(range(10_000))
    monkeypatch.setattr(progress, "monotonic", lambda: next(ticks) / 10)
    seen = []
    hub.fetch(name, seen.append)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert {progress.total for progress in seen} == {SIZE}
    assert seen[-1].done == SIZE
    assert (seen[0].rate, seen[0].seconds_left) == (0.0, None)
    assert len(seen) <= next(ticks) // 2 + 1
    assert seen[-1].rate > 0
    assert seen[-1].seconds_left == 0


def cancel_in_the_weights(progress):
    if progress.done > CHUNK:
        raise KeyboardInterrupt


def test_the_rate_counts_what_arrives_and_is_never_negative(stand_in, monkeypatch):
    ticks = iter(range(10_000))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(ticks)))
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("gpt2", cancel_in_the_weights)
    resumed_then_started_over = Answer(cut_after=CHUNK + 1), Answer(ignores_range=True)
    stand_in.plan("model.safetensors", *resumed_then_started_over)
    seen = []
    hub.fetch("gpt2", seen.append)
    start, after_a_chunk = seen[:2]
    assert start.done > CHUNK
    assert after_a_chunk.rate == CHUNK
    assert min(progress.done for progress in seen) < start.done
    assert min(progress.rate for progress in seen) == 0.0


def test_raising_in_on_progress_cancels_and_fetch_goes_on_later(stand_in, monkeypatch):
    monkeypatch.setattr(progress.Meter, "INTERVAL", 0.0)
    assert hub.state("gpt2") == hub.State("absent", 0)
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("gpt2", cancel_in_the_weights)
    small = SIZE - len(CONTENTS["model.safetensors"])
    assert hub.state("gpt2") == hub.State("partial", small + CHUNK)
    hub.fetch("gpt2")
    assert hub.state("gpt2") == hub.State("ready", SIZE)
    assert stand_in.content_requests("model.safetensors")[-1].headers["Range"] == f"bytes={CHUNK}-"


# What the environment says


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "home/.cache/patchboard"),
        ("darwin", {}, "home/Library/Caches/patchboard"),
        ("win32", {}, "home/AppData/Local/patchboard"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/patchboard"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/patchboard"),
        ("linux", {"XDG_CACHE_HOME": "xdg", "PATCHBOARD_CACHE": "own"}, "own"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(
    monkeypatch, tmp_path, platform, environment, expected
):
    monkeypatch.setattr(places.sys, "platform", platform)
    for name, folder in environment.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    assert hub.cache_folder() == tmp_path / expected


def test_a_user_without_a_home_needs_a_cache_of_their_own_only_to_download(monkeypatch, tmp_path):
    monkeypatch.setattr(hub.os.path, "expanduser", lambda path: path)  # what pathlib asks, in vain
    assert hub.locate("gpt2") is hub.locate_tokenizer() is None
    assert hub.state("gpt2") == hub.State("absent", 0)
    with pytest.raises(HubError, match=r"no home folder .* set PATCHBOARD_CACHE to a folder"):
        hub.fetch("gpt2")
    monkeypatch.setenv("PATCHBOARD_CACHE", str(tmp_path / "own"))
    place(tmp_path / "own" / "gpt2")
    assert hub.fetch("gpt2") == tmp_path / "own" / "gpt2"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_the_network_is_not_touched(monkeypatch, no_network, value):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    text = r"^gpt2 is not on this machine, and HF_HUB_OFFLINE forbids .* Unset HF_HUB_OFFLINE"
    with pytest.raises(HubError, match=text):
        hub.fetch("gpt2")
    with pytest.raises(HubError, match=r"^GPT-2's tokenizer is not on this machine, and"):
        hub.fetch_tokenizer()


def test_the_token_of_the_environment_is_sent_without_white_space_around_it(stand_in, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", " secret\r\n")
    hub.fetch_tokenizer()
    assert stand_in.requests[0].headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["s3cret\nX: y", "s3cretł", "s3cr\x1bet", "s3cret\u200b"])
def test_a_token_with_other_characters_is_refused_and_not_shown(stand_in, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as refusal:
        hub.fetch("gpt2")
    assert str(refusal.value) == (
        "gpt2 is not on this machine, and HF_TOKEN has characters that no token has: copy it again,"
        " or unset it."
    )
    assert not stand_in.requests


def test_a_proxy_is_used(stand_in, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", stand_in.url)
    monkeypatch.setenv("http_proxy", stand_in.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid/")
    assert content_of(hub.fetch_tokenizer()).keys() == {"vocab.json", "merges.txt"}
    assert stand_in.requests[0].headers["Host"] == "hub.invalid"


def test_an_unknown_name(no_network):
    for ask in (hub.fetch, hub.locate, hub.state):
        with pytest.raises(HubError, match="called 'gpt3': choose one of gpt2, gpt2-xl"):
            ask("gpt3")


def test_a_download_that_fails_names_the_model_and_keeps_no_bad_file(stand_in):
    stand_in.plan("model.safetensors", Answer(body=bytes(200_000)))
    with pytest.raises(HubError, match=r"^gpt2 is not .* could not be downloaded: .*damaged"):
        hub.fetch("gpt2")
    assert hub.locate("gpt2") is None
    assert content_of(hub.fetch("gpt2")) == CONTENTS


# Hugging Face's cache


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({}, "home/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/huggingface/hub"),
        ({"HF_HOME": "hf"}, "hf/hub"),
        ({"HF_HOME": "hf", "HF_HUB_CACHE": "models"}, "models"),
    ],
)
@pytest.mark.parametrize("repo", ["models--openai-community--gpt2", "models--gpt2"])
def test_hugging_faces_cache_is_found(monkeypatch, tmp_path, no_network, environment, cache, repo):
    for name, folder in environment.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    snapshot = place(tmp_path / cache / repo / "snapshots" / REVISION)
    assert hub.fetch("gpt2") == hub.locate("gpt2") == hub.fetch_tokenizer() == snapshot
    assert hub.state("gpt2") == hub.State("ready", SIZE)


@pytest.fixture
def cached_repo(tmp_path) -> Path:
    return tmp_path / "home/.cache/huggingface/hub/models--openai-community--gpt2"


def test_our_revision_is_preferred_to_main(cached_repo):
    (cached_repo / "refs").mkdir(parents=True)
    (cached_repo / "refs" / "main").write_text("newer")
    newer = place(cached_repo / "snapshots" / "newer")
    place(cached_repo / "snapshots" / "of no ref")
    assert hub.locate("gpt2") == newer
    ours = place(cached_repo / "snapshots" / REVISION)
    assert hub.locate("gpt2") == ours


def test_a_snapshot_is_made_of_links_and_one_that_leads_nowhere_is_no_file(cached_repo):
    snapshot = place(cached_repo / "snapshots" / REVISION, "model.safetensors")
    blobs = cached_repo / "blobs"
    blobs.mkdir()
    (snapshot / "model.safetensors").symlink_to(blobs / "weights")
    (blobs / "weights.incomplete").write_bytes(CONTENTS["model.safetensors"])
    assert hub.locate("gpt2") is None
    (blobs / "weights.incomplete").rename(blobs / "weights")
    assert hub.locate("gpt2") == snapshot


@pytest.mark.parametrize("missing", CONTENTS)
def test_what_a_snapshot_has_is_not_downloaded_again(
    cached_repo, stand_in, tmp_path, monkeypatch, missing
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", "home/.cache/huggingface/hub")  # of the working directory
    snapshot = place(cached_repo / "snapshots" / REVISION, missing)
    here = SIZE - len(CONTENTS[missing])
    assert hub.locate("gpt2") is None
    assert hub.state("gpt2") == hub.State("partial", here)
    assert not (tmp_path / "home/.cache/patchboard").exists()  # asking writes nothing
    folder = hub.fetch("gpt2")
    assert content_of(folder) == CONTENTS
    assert {request.file for request in stand_in.requests} == {missing}
    assert hub.state("gpt2") == hub.State("ready", SIZE)
    links = {path.name for path in folder.iterdir() if path.is_symlink()}
    assert links == CONTENTS.keys() - {missing}
    shutil.rmtree(snapshot)  # and what leads nowhere any more is downloaded
    assert hub.locate("gpt2") is None
    assert content_of(hub.fetch("gpt2")) == CONTENTS
    assert not any(path.is_symlink() for path in folder.iterdir())


def test_files_that_lie_apart_are_brought_together_offline(cached_repo, monkeypatch, no_network):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place(cached_repo / "snapshots" / REVISION, "model.safetensors", "vocab.json")
    old = place(cached_repo.parent / "models--gpt2/snapshots" / REVISION, "config.json")
    (old / "merges.txt").unlink()
    assert hub.state("gpt2") == hub.State("partial", SIZE)
    assert content_of(hub.fetch("gpt2")) == CONTENTS


def test_a_tokenizer_is_put_together_from_whatever_models_have(cached_repo, tmp_path, stand_in):
    place(cached_repo / "snapshots" / REVISION, "merges.txt", "config.json", "model.safetensors")
    place(tmp_path / "home/.cache/patchboard/gpt2-xl", "vocab.json")
    folder = hub.fetch_tokenizer()
    assert content_of(folder) == {name: CONTENTS[name] for name in hub.TOKENIZER_FILES}
    assert not stand_in.requests


def test_the_tokenizer_of_any_model_here_will_do_but_makes_none_of_another(tmp_path, no_network):
    other = place(tmp_path / "home/.cache/patchboard/gpt2-xl", "model.safetensors")
    assert hub.fetch_tokenizer() == other
    shared = sum(len(CONTENTS[name]) for name in hub.TOKENIZER_FILES)
    assert hub.state("gpt2") == hub.State("absent", shared)


@pytest.mark.parametrize("refused", [["symlink"], ["symlink", "link"]])
def test_without_links_files_are_copied(cached_repo, stand_in, monkeypatch, refused):
    """Windows has symbolic links for administrators alone, and hard links within one disk."""

    def refuse(*_):
        raise OSError

    for name in refused:
        monkeypatch.setattr(hub.os, name, refuse)
    snapshot = place(cached_repo / "snapshots" / REVISION, "config.json")
    folder = hub.fetch("gpt2")
    assert content_of(folder) == CONTENTS
    weights = "model.safetensors"
    assert (folder / weights).samefile(snapshot / weights) == (len(refused) == 1)
    assert len(stand_in.requests) == 1


def test_a_snapshot_with_weights_of_another_size_is_passed_over(cached_repo, stand_in):
    snapshot = place(cached_repo / "snapshots" / REVISION)
    (snapshot / "model.safetensors").write_bytes(CONTENTS["model.safetensors"][:-1])
    assert hub.locate("gpt2") is None
    assert hub.fetch("gpt2") != snapshot


# Damage


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])  # with and without checksums known beforehand
@pytest.mark.parametrize("file", CONTENTS)
def test_a_damaged_file_is_noticed_and_fetched_again(stand_in, name, file):
    path = hub.fetch(name) / file
    assert hub.damaged(name) == hub.doubtful(name) == []
    content = bytearray(CONTENTS[file])
    content[-1] ^= 1
    path.write_bytes(content)
    assert hub.damaged(name) == hub.doubtful(name) == [path]
    asked = len(stand_in.requests)
    hub.discard(name)
    assert hub.locate(name) is None
    assert content_of(hub.fetch(name)) == CONTENTS
    assert {request.file for request in stand_in.requests[asked:]} == {file}
    assert hub.damaged(name) == []


def test_of_a_file_brought_by_hand_it_is_known_what_the_release_says_of_it(tmp_path, no_network):
    place(tmp_path / "home/.cache/patchboard/gpt2")
    folder = place(tmp_path / "home/.cache/patchboard/gpt2-xl")
    assert hub.damaged("gpt2") == hub.doubtful("gpt2") == hub.damaged("gpt2-xl") == []
    doubtful = {path.name for path in hub.doubtful("gpt2-xl")}
    assert doubtful == {file.name for file in hub.MODELS["gpt2-xl"].files if not file.checksum}
    assert all((folder / name).exists() for name in doubtful)


def test_a_damaged_file_of_another_cache_is_not_taken_over_and_stays(cached_repo, stand_in):
    snapshot = place(cached_repo / "snapshots" / REVISION, "merges.txt")
    damaged = bytes(len(CONTENTS["model.safetensors"]))
    (snapshot / "model.safetensors").write_bytes(damaged)
    assert content_of(hub.fetch("gpt2")) == CONTENTS
    assert (snapshot / "model.safetensors").read_bytes() == damaged
    assert {request.file for request in stand_in.requests} == {"merges.txt", "model.safetensors"}


@pytest.mark.parametrize(
    "ref", [b"\x00", b"a\x00b", b"..", b"a/b", b"\xff", b"", b"a" * 5000, None]
)
def test_a_reference_of_another_cache_that_names_nothing_is_none(cached_repo, ref, monkeypatch):
    place(cached_repo)  # where a name of two dots would lead
    (cached_repo / "refs").mkdir()
    (cached_repo / "snapshots").mkdir()
    path = cached_repo / "refs" / "main"
    os.mkfifo(path) if ref is None else path.write_bytes(ref)
    of_a_branch = Release("openai-community/gpt2", "main", (File("config.json", 1),))
    monkeypatch.setitem(hub.MODELS, "distil", of_a_branch)
    for name in (*hub.MODELS, "openai-community/gpt2", "openai-community/gpt2@main"):
        assert hub.locate(name) is None
        assert hub.state(name).status == "absent"
    assert hub.kept() == []


@pytest.mark.parametrize("place", ["~nobody-of-this-name", "round", "file/below", "a" * 300])
def test_a_cache_that_cannot_be_is_said_to_be_none_only_where_it_is_needed(
    monkeypatch, tmp_path, stand_in, place
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "file").write_text("no folder")
    for name in ("PATCHBOARD_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, place)
    for name in (*hub.MODELS, "some-one/else"):
        assert hub.locate(name) is hub.locate_config(name) is None
        assert hub.state(name).status == "absent"
        assert hub.damaged(name) == hub.doubtful(name) == hub.kept() == []
    with pytest.raises(HubError, match="set PATCHBOARD_CACHE to"):
        hub.fetch("gpt2")
