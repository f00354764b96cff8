"""Shared by all tests: one torch thread, no network, small random models."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read by transformers, which the tests compare with
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from core.models import LoadedModel
from core.result import Result
from mingpt.model import GPT
from tests import builders

torch.set_num_threads(1)  # small matrices; and the machine may be busy

# Slow machines are no bugs, and a failure that comes and goes is of no use to anyone.
settings.register_profile("patchboard", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("patchboard")


@pytest.fixture
def gpt() -> GPT:
    """A small random model."""
    return builders.random_gpt(3, 2, 8)


@pytest.fixture(scope="session")
def loaded() -> LoadedModel:
    return builders.loaded_model()


@pytest.fixture(scope="session")
def result(loaded) -> Result:
    return builders.answer(loaded)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A local model as a person would have it: config, weights, tokenizer."""
    return builders.write_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def gpt2_tokenizer_folder(pytestconfig) -> Path:
    """GPT-2's own tokenizer files, which are not ours to carry."""
    folder = pytestconfig.rootpath.parent / "shared" / "gpt2"
    if not all((folder / name).is_file() for name in ("encoder.json", "vocab.bpe")):
        pytest.skip("GPT-2's encoder.json and vocab.bpe are not in ../shared/gpt2")
    return folder
