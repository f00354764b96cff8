"""Machines for the tests of models: one without any, a folder with one, a hub."""

import pytest

from core import catalogue
from tests.builders import write_model_folder
from tests.stand_in_hub import REPO, StandInHub


@pytest.fixture
def no_models_elsewhere(monkeypatch, tmp_path):
    """A machine on which nothing has been downloaded."""
    monkeypatch.delenv(catalogue.FOLDERS_VARIABLE, raising=False)
    for name in ("PATCHBOARD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


@pytest.fixture
def folder(tmp_path):
    """A model folder that a test may damage."""
    return write_model_folder(tmp_path / "mine")


@pytest.fixture
def stand_in(folder, monkeypatch):
    """A hub with a repository of two revisions, one of them no GPT-2."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with StandInHub({}) as stand_in:
        bert = files | {"config.json": b'{"model_type": "bert", "hidden_size": 8}'}
        stand_in.branches[REPO] = {"main": files, "bert": bert}
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield stand_in
