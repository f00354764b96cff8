"""Any repository of the hub in the app: offered, asked about, downloaded and stepped through, each
only when a person says so."""

import pytest

from core import catalogue, delivery, models
from mingpt import download, hub
from pages.parts import html, keeping
from tests import builders
from tests.stand_in_hub import REPO, StandInHub

ASKED = builders.experiment(model=REPO).to_query()
HOSTILE = "step-7-<b>$x$_y_`z`</b>&lt;"  # all of it is possible in git
SHELVES = (keeping._loaded, keeping.cards)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A hub with a repository of five revisions, two of them alike and one no GPT-2."""

    def files(seed: int) -> dict[str, bytes]:
        encoder = builders.tiny_encoder()
        gpt = builders.random_gpt(3, vocab_size=len(encoder.encoder), block_size=24, seed=seed)
        folder = builders.write_model_folder(tmp_path / f"published{seed}", gpt)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    monkeypatch.setenv("PATCHBOARD_HUB", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    for shelf in SHELVES:
        shelf.clear()
    with StandInHub({}) as stand_in:
        again = files(9) | {"README.md": b"Once more."}
        bert = files(0) | {"config.json": b'{"model_type": "bert"}'}
        stand_in.branches[REPO] = {"step-10": files(10), "step-9": files(9), "main": files(0)}
        stand_in.branches[REPO] |= {HOSTILE: again, "bert": bert}
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in
    for shelf in SHELVES:
        shelf.clear()


def test_the_box_is_there_only_where_who_starts_the_server_says_so(open_app, monkeypatch):
    monkeypatch.delenv("PATCHBOARD_HUB", raising=False)
    app = open_app(**ASKED)
    assert not app.has("typed_repository")
    assert app.notes[0] == (
        f"'{REPO}' would be a repository of the hub, and this server does not offer those: who"
        " starts it can, with PATCHBOARD_HUB=1. The address was opened without it."
    )
    monkeypatch.setenv("PATCHBOARD_HUB", "1")
    assert open_app().has("typed_repository")


def test_a_link_asks_nothing_and_a_person_asks_downloads_and_sees_the_map(open_app, stand_in):
    app = open_app(**ASKED)
    assert stand_in.requests == []
    assert f"First {stand_in.url} is asked which commit that is" in app.notes[0]
    app.press("Ask the hub about it")
    assert {request.file for request in stand_in.requests} == {"api/revision/main", "config.json"}
    commit = stand_in.commit(REPO, "main")
    assert app.notes[0].startswith(f"{REPO}, commit {commit}, is not on this machine yet. Download")
    assert "Memory when it runs: 1 GB" in app.notes[0]
    assert app.experiment == builders.experiment(model=REPO)
    app.press("Download 0 MB")
    assert app.maps and not app.problems
    assert app.query["model"] == app.widget("chosen_model").value == REPO
    assert app.widget("chosen_model").options[-1] == REPO


def test_a_repository_is_typed_and_what_is_none_says_so(open_app, stand_in):
    app = open_app()
    for typed, said in (("a b/c", "is no name of a repository"), ("x", "There is no model 'x'")):
        app.widget("typed_repository").set_value(typed)
        assert said in app.run().problems[0]
        assert app.experiment.model == "teaching"
    app.widget("typed_repository").set_value(f" {REPO}@step-9 ")
    app.run()
    assert (app.experiment.model, app.problems) == (f"{REPO}@step-9", [])
    assert stand_in.requests == []


def test_what_is_no_gpt2_or_not_to_be_had_is_refused_with_the_reason(open_app, stand_in):
    app = open_app(**ASKED | {"model": f"{REPO}@bert"}).press("Ask the hub about it")
    assert f"{REPO}@bert cannot be loaded: " in app.problems[0]
    assert app.problems[0].endswith("Its weights were not downloaded.")
    assert "Download 0 MB" not in app.buttons
    app = open_app(**ASKED | {"model": f"{REPO}@gone"}).press("Ask the hub about it")
    assert f"{REPO} has no revision 'gone' (HTTP 404)" in app.problems[0]
    assert "Try again" in app.buttons
    app.press("Use the teaching model, keep the texts")
    assert app.experiment == builders.experiment()


def fetched(*revisions: str) -> None:
    for revision in revisions:
        hub.fetch(f"{REPO}@{revision}")


def test_the_slider_steps_through_revisions_each_offered_before_it_is_downloaded(
    open_app, stand_in, monkeypatch
):
    fetched("main")
    app = open_app(**ASKED)
    asked = len(stand_in.requests)
    assert app.maps and not app.has("training_revision")
    app.press("List its revisions")
    assert [request.file for request in stand_in.requests[asked:]] == ["api/refs"]
    slider = app.widget("training_revision")
    assert slider.options == ["bert", html.label(HOSTILE), "step-9", "step-10", "main"]
    assert slider.label == "Revision (1 of 5 here)"
    slider.set_value(f"{REPO}@step-9")
    app.run()
    assert app.experiment == builders.experiment(model=f"{REPO}@step-9")
    assert len(stand_in.requests) == asked + 1 and not app.maps
    app.press("Ask the hub about it").press("Download 0 MB")
    assert app.maps and app.widget("training_revision").label == "Revision (2 of 5 here)"
    monkeypatch.setattr(models, "load", None)  # what was loaded is kept
    app.widget("training_revision").set_value(REPO)
    assert app.run().maps


def test_two_revisions_of_the_same_weights_are_said_to_be(open_app, stand_in):
    fetched("step-9", "step-10", HOSTILE)
    app = open_app(**ASKED | {"model": f"{REPO}@step-9"})
    assert f"{REPO}@step-9 has the same weights as {REPO}@{HOSTILE}." in app.notes
    assert all("<b>$" not in body for body in app.bodies)
    app = open_app(**ASKED | {"model": f"{REPO}@step-10"})
    assert not any("the same weights" in note for note in app.notes)


def test_equal_fingerprints_are_noticed_where_the_files_differ(open_app, stand_in, tmp_path):
    stand_in.branches[REPO]["step-10"]["model.safetensors"] += b" "
    names = [f"{REPO}@{revision}" for revision in ("step-9", "step-10")]
    for name in names:
        delivery.ask(catalogue.named(name))
    print_ = models.load(catalogue.TEACHING).card
    assert (
        catalogue.same_weights(catalogue.named(names[0]), dict.fromkeys(names, print_)) == names[1:]
    )
    assert catalogue.same_weights(catalogue.named(names[0]), {}) == []


def test_play_goes_through_the_revisions_that_are_here(open_app, stand_in, monkeypatch):
    fetched("step-9", "step-10", "main")
    app = open_app(**ASKED | {"model": f"{REPO}@step-9"})
    loaded = set(keeping.cards)
    assert loaded == {f"{REPO}@step-9"}
    app.press("Play").press("Next step").press("Next step")
    assert app.experiment.model == REPO and "Next step" not in app.buttons
    assert set(keeping.cards) == {REPO, f"{REPO}@step-9", f"{REPO}@step-10"}
    monkeypatch.setattr(models, "load", None)  # what was loaded is kept
    app.press("Play")  # once more, from the first on
    assert app.experiment.model == f"{REPO}@step-9" and app.maps
    app.press("Next step").press("Next step")
    assert app.experiment.model == REPO and app.maps
    assert "Play" in app.buttons


def test_the_card_says_what_was_loaded_and_what_makes_it_doubtful(open_app, stand_in):
    fetched("step-9")
    app = open_app(**ASKED | {"model": f"{REPO}@step-9"})
    card = next(text for text in app.texts if text.startswith("model"))
    loaded = keeping.cards[f"{REPO}@step-9"]
    for said in (
        f"from the hub's repository {REPO}, revision step-9".replace("from ", "from"),
        f"commit{stand_in.commit(REPO, 'step-9')}",
        f"fingerprint{loaded.fingerprint}",
        "size3 layers",
        "unlike GPT-2block_size = 24, vocab_size = 276",
        "tokenizer276 tokens, from vocab.json, merges.txt",
    ):
        assert said in card
    doubt = next(text for text in app.texts if text.startswith("This model does not predict"))
    assert doubt in card
    card = next(text for text in open_app().texts if text.startswith("model"))
    assert "modelteaching" in card and "It predicts a few plain sentences" in card
