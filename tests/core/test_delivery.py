"""What it takes to bring a model to this machine is known before it is brought."""

import pytest

from core import delivery
from core.catalogue import find
from core.models import load
from mingpt import hub
from tests.builders import refused
from tests.stand_in_hub import REPO

pytestmark = pytest.mark.usefixtures("no_models_elsewhere")


def test_what_is_no_gpt2_is_refused_from_its_configuration_alone(stand_in):
    text = str(refused(load, find(f"{REPO}@bert")))
    assert text.startswith(f"{REPO}@bert cannot be loaded: ")
    assert "config.json" in text and text.endswith("Its weights were not downloaded.")
    assert {request.file for request in stand_in.requests} == {"api/revision/bert", "config.json"}
    assert str(refused(delivery.ask, find(f"{REPO}@bert"))) == text
    assert len(stand_in.requests) == 2


def test_what_a_download_takes_is_known_once_the_hub_was_asked(stand_in, monkeypatch, folder):
    monkeypatch.setattr(hub, "free_space", lambda folder: 20_000_000_000)
    entry = find(REPO)
    assert (entry.missing_bytes, entry.memory) == (0, 0)
    assert delivery.delivery(entry).files == ()
    entry = delivery.ask(entry)
    commit = stand_in.commit(REPO, "main")
    size = sum(len(content) for content in stand_in.branches[REPO]["main"].values())
    config = len(stand_in.branches[REPO]["main"]["config.json"])
    assert entry.missing_bytes == size - config
    assert entry.memory == 500_000_000 + 4 * load(find(str(folder))).card.parameters
    assert delivery.announced(entry) == (
        f"{REPO}, commit {commit}, is not on this machine: downloading 0 MB to"
        f" {hub.cache_folder() / 'some-one--Tiny.GPT' / commit} (20.0 GB free)."
        " It takes 1 GB of memory."
    )
