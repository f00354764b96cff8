"""Repositories by name and revision: what is asked, what is kept, what is refused."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from mingpt import hub, repository
from mingpt.hub import HubError
from tests.stand_in_hub import Answer, StandInHub

pytestmark = pytest.mark.usefixtures("bare_machine")

REPO = "some-one/Tiny.GPT_2"
WEIGHTS = {step: random.Random(step).randbytes(70_000 + step) for step in (9, 10, 600)}
SMALL = {
    "config.json": b'{"n_layer": 1}',
    "vocab.json": b'{"a": 0}',
    "merges.txt": b"#version: 0.2\n",
    "tokenizer_config.json": b"{}",
}
OTHERS = {"README.md": b"a", "flax_model.msgpack": b"b", "a/config.json": b"c", "../up": b"d"}


def files(weights: bytes) -> dict[str, bytes]:
    return SMALL | {"model.safetensors": weights} | OTHERS


@pytest.fixture
def stand_in(monkeypatch):
    with StandInHub({}) as stand_in:
        branches = {f"step-{step}": files(weights) for step, weights in WEIGHTS.items()}
        again = branches["step-10"] | {"README.md": b"Uploaded twice."}
        stand_in.branches[REPO] = branches | {"again/step-12": again, "main": branches["step-600"]}
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


def refused(action, *arguments) -> str:
    with pytest.raises(HubError) as refusal:
        action(*arguments)
    return str(refusal.value)


def content_of(folder: Path) -> dict[str, bytes]:
    there = (path for path in folder.iterdir() if path.suffix != ".checked")
    return {path.name: path.read_bytes() for path in there}


def asked(stand_in) -> list[str]:
    return [request.file for request in stand_in.requests if request.server == "hub"]


# Fetching


def test_a_revision_is_asked_for_once_and_stays_the_commit_it_was(stand_in, monkeypatch):
    name = f"{REPO}@step-9"
    commit = stand_in.commit(REPO, "step-9")
    assert hub.release(name) is hub.locate(name) is None
    folder = hub.fetch(name)
    assert content_of(folder) == SMALL | {"model.safetensors": WEIGHTS[9]}
    assert folder == hub.cache_folder() / "some-one--Tiny.GPT_2" / commit
    assert asked(stand_in) == ["api/revision/step-9", *SMALL, "model.safetensors"]
    assert hub.release(name).revision == commit
    stand_in.branches[REPO]["step-9"] = files(WEIGHTS[600])  # the branch moves on
    stand_in.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.fetch(name) == hub.locate(name) == folder
    assert hub.state(name).status == "ready"
    assert not stand_in.requests


def test_before_the_weights_only_the_configuration_is_fetched(stand_in):
    folder = hub.resolve(REPO)
    assert content_of(folder) == {"config.json": SMALL["config.json"]}
    assert asked(stand_in) == ["api/revision/main", "config.json"]
    assert hub.release(REPO).download_bytes == len(WEIGHTS[600]) + sum(map(len, SMALL.values()))
    assert hub.state(REPO) == hub.State("absent", len(SMALL["config.json"]))
    assert hub.resolve(REPO) == folder
    assert len(stand_in.requests) == 2
    assert [of.name for of in hub.kept()] == [REPO]


def test_what_another_revision_has_is_linked_and_not_downloaded_again(stand_in):
    ten, again = (hub.fetch(f"{REPO}@{revision}") for revision in ("step-10", "again/step-12"))
    assert ten != again
    assert (again / "model.safetensors").samefile(ten / "model.safetensors")
    assert len(stand_in.content_requests("model.safetensors")) == 1
    assert len(stand_in.content_requests("vocab.json")) == 1
    one, two = (hub.release(f"{REPO}@{r}").weights for r in ("step-10", "again/step-12"))
    assert one == two != hub.release(f"{REPO}@step-10").revision
    hub.resolve(REPO)
    assert hub.release(REPO).weights != one


def test_revisions_come_in_the_order_in_which_people_count(stand_in):
    stand_in.branches[REPO] |= {"a..b": {}, "a b": {}, "../up": {}}  # no names of revisions
    found = hub.revisions(f"{REPO}@step-9")
    assert list(found) == ["again/step-12", "step-9", "step-10", "step-600", "main"]
    assert found["step-9"] == stand_in.commit(REPO, "step-9")


def test_a_commit_and_a_revision_with_a_slash_are_revisions(stand_in):
    commit = stand_in.commit(REPO, "step-10")
    for revision in (commit, "again/step-12"):
        assert content_of(hub.fetch(f"{REPO}@{revision}"))["model.safetensors"] == WEIGHTS[10]
        assert hub.fetch(f"{REPO}@{revision}").parent.parent == hub.cache_folder()


SHARDS = {f"model-0000{i}-of-00002.safetensors": bytes([i]) * 100 for i in (1, 2)}
INDEX = json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode()
LAYOUTS = [
    (SHARDS | {"model.safetensors.index.json": INDEX, "pytorch_model.bin": b"x"}, 3),
    ({"pytorch_model.bin": b"x" * 50}, 1),
    ({"model.safetensors": b"y", "pytorch_model.bin": b"x"} | SHARDS, 1),
]


@pytest.mark.parametrize(("weights", "count"), LAYOUTS)
@pytest.mark.parametrize("tokenizer", [["tokenizer.json"], ["vocab.json", "merges.txt"]])
def test_the_preferred_layout_is_fetched_whole_and_no_other(stand_in, weights, count, tokenizer):
    chosen = dict(list(weights.items())[:count])
    small = dict.fromkeys(tokenizer, b"{}") | {"config.json": b"{}"}
    stand_in.branches[REPO]["main"] = small | weights | OTHERS
    assert content_of(hub.fetch(REPO)) == small | chosen


def test_distilgpt2_is_known_by_its_name_and_resolved_like_any_repository(
    stand_in, monkeypatch, tmp_path
):
    distil = repository.Release(
        "distilbert/distilgpt2", "main", (repository.File("config.json", 9),)
    )
    monkeypatch.setitem(hub.MODELS, "distilgpt2", distil)
    assert hub.release("distilgpt2") == distil
    assert hub.folder("distilgpt2") == hub.cache_folder() / "distilgpt2"
    stand_in.branches["distilbert/distilgpt2"] = {"main": files(WEIGHTS[9])}
    folder = hub.fetch("distilgpt2")
    assert content_of(folder) == SMALL | {"model.safetensors": WEIGHTS[9]}
    assert hub.locate("distilbert/distilgpt2") == hub.locate("distilgpt2") == folder
    assert hub.release("distilgpt2").is_pinned


@pytest.mark.parametrize("called", ["models--distilbert--distilgpt2", "models--distilgpt2"])
def test_hugging_faces_cache_is_found_without_asking(tmp_path, monkeypatch, no_network, called):
    monkeypatch.setitem(
        hub.MODELS, "distilgpt2", repository.Release("distilbert/distilgpt2", "main", ())
    )
    repo, commit = tmp_path / "home/.cache/huggingface/hub" / called, "12" * 20
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for name, content in files(b"w").items():
        if "/" not in name:
            (repo / "snapshots" / commit / name).write_bytes(content)
    assert hub.fetch("distilgpt2") == repo / "snapshots" / commit
    assert hub.release("distilgpt2").revision == commit
    (repo / "snapshots" / commit / "merges.txt").unlink()
    assert hub.release("distilgpt2").revision == "main"


# What is refused


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../etc",
            "a/../b",
            "a/b/c",
            "a/..",
            "./a",
            "a/b--c",
            "a/.b",
            "a/b.git",
            "/a",
            "a/",
            "a/b\n",
        ),
        *("a/b c", "a/\x00", "ä/b", "a/" + "b" * 96, "a\\b/c", "<b>/x"),
    ],
)
def test_a_name_that_no_repository_has_is_refused(no_network, name):
    text = refused(hub.fetch, name)
    assert text.startswith(f"{name!r} is no name of a repository: those are called owner/name")


@pytest.mark.parametrize(
    "revision",
    [
        *("", "..", "a/../b", "/a", "a/", "a b", "a\tb", "a\x00", "a\u2028b", "a\\b", "~a", "a:b"),
        *("a//b", "a..b", ".a", "a/.b", "a.lock", "@{1}", "x" * 201, "\u200e"),
    ],
)
def test_a_revision_that_no_repository_has_is_refused(no_network, revision):
    text = refused(hub.fetch, f"a/b@{revision}")
    assert "is no name of a revision of a/b: give a branch, a tag or a commit." in text


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (
            401,
            "RepoNotFound",
            "{url} has no repository a/b that everybody may read (HTTP 401). Check",
        ),
        (
            404,
            "",
            "that everybody may read (HTTP 404). Check its name; if it is private or gated, set",
        ),
        (
            403,
            "GatedRepo",
            "a/b is gated (HTTP 403): accept its conditions at {url}/a/b and set HF_",
        ),
        (404, "RevisionNotFound", "a/b has no revision 'main' (HTTP 404): name one of its own."),
    ],
)
def test_what_the_hub_does_not_give_is_said_with_the_fix(stand_in, status, code, text):
    stand_in.refuses["a/b"] = (status, code)
    assert text.format(url=stand_in.url) in refused(hub.fetch, "a/b")
    assert len(stand_in.requests) == 1


def test_a_token_is_sent_and_one_that_does_not_help_is_named(stand_in, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    stand_in.refuses["a/b"] = (401, "")
    assert "HF_TOKEN is set: renew it, or unset it, of an account" in refused(hub.fetch, "a/b")
    assert stand_in.requests[0].headers["Authorization"] == "Bearer secret"


def test_files_that_are_gated_while_their_list_is_not_say_so(stand_in, monkeypatch):
    says = stand_in.says
    monkeypatch.setattr(stand_in, "says", lambda *of: stand_in.refuses.clear() or says(*of))
    hub.resolve(REPO)
    stand_in.refuses[REPO] = (403, "GatedRepo")
    assert f"{REPO} is gated (HTTP 403)" in refused(hub.fetch, REPO)


@pytest.mark.parametrize(
    ("left_out", "text"),
    [
        ("config.json", "some-one/Tiny.GPT_2 has no config.json: it is no model"),
        ("vocab.json", "has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt."),
        ("model.safetensors", "has no weights that can be read: none of model.safetensors, model"),
    ],
)
def test_a_repository_that_lacks_what_makes_a_model_says_what(stand_in, left_out, text):
    del stand_in.branches[REPO]["main"][left_out]
    assert text in refused(hub.fetch, REPO)
    assert asked(stand_in) == ["api/revision/main"]


BAD_ANSWERS = [{}, [], None, {"sha": "main", "siblings": []}, {"sha": "0" * 40, "siblings": 3}]
BAD_ANSWERS += [{"sha": "0" * 40, "siblings": [{"rfilename": "config.json"}]}]
BAD_ANSWERS += [
    {"sha": "0" * 40, "siblings": [{"rfilename": "config.json", "size": size, "blobId": checksum}]}
    for size, checksum in ((-1, "0" * 40), ("9", "0" * 40), (9, "../x"), (9, None))
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_a_hub_that_says_something_else_is_not_believed(stand_in, monkeypatch, answer):
    monkeypatch.setattr(stand_in, "says", lambda *of: answer or {"siblings": answer})
    assert "the hub does not say which files there are, with their sizes" in refused(
        hub.fetch, REPO
    )
    assert not list(hub.cache_folder().rglob("*"))


def test_an_index_that_names_what_is_not_there_is_refused(stand_in):
    for name in ("../../x.safetensors", "model-3.safetensors", 7, None):
        index = json.dumps({"weight_map": {"a": name}}).encode()
        main = SMALL | {"model.safetensors.index.json": index}
        stand_in.branches[REPO]["main"] = main
        text = "model.safetensors.index.json of some-one/Tiny.GPT_2 names files that are not there."
        assert refused(hub.fetch, REPO) == text


def test_a_page_that_answers_in_the_hubs_place_is_no_answer(stand_in, monkeypatch):
    monkeypatch.setattr("tests.stand_in_hub.json.dumps", lambda answer: "<html>Welcome</html>")
    text = refused(hub.fetch, REPO)
    assert re.search(r"api/models/some-one/Tiny.GPT_2/revision/main is no answer of a hub", text)


def test_an_answer_without_an_end_is_not_waited_for(stand_in, monkeypatch):
    monkeypatch.setattr("mingpt.files.LONGEST", 100)
    assert f"{stand_in.url} gives no end of an answer. Check HF_ENDPOINT" in refused(
        hub.fetch, REPO
    )


def test_offline_nothing_is_asked(monkeypatch, no_network):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for action in (hub.fetch, hub.resolve, hub.revisions):
        text = refused(action, "a/b@v1")
        assert text.startswith("a/b@v1 is not on this machine, and HF_HUB_OFFLINE forbids")


def test_a_damaged_record_is_none_and_the_hub_is_asked_again(stand_in):
    folder = hub.fetch(REPO)
    record = folder.parent / "main.json"
    sound = json.loads(record.read_text())
    assert sound["commit"] == folder.name == stand_in.commit(REPO, "main")
    up = [{"name": "../config.json", "size": 1, "checksum": "0" * 40}]
    for damage in ({"files": up}, {"commit": "../.."}, {"revision": "Main"}, {"files": None}):
        record.write_text(json.dumps(sound | damage))
        assert hub.release(REPO) is None and hub.kept() == []
    assert hub.fetch(REPO) == folder
    assert len(stand_in.content_requests("model.safetensors")) == 1


def test_a_damaged_download_of_any_file_is_noticed(stand_in):
    stand_in.plan("vocab.json", Answer(body=b'{"a": 1}'))
    assert "was damaged" in refused(hub.fetch, REPO)
    assert hub.locate(REPO) is None
    shutil.rmtree(hub.cache_folder())
    assert hub.fetch(REPO)
