"""What a model's card says of it: true of the model that was loaded, whatever its files ask for."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import card, catalogue, models
from core.result import ModelCard
from mingpt.model import GPT
from tests import builders


@pytest.fixture(scope="module")
def teaching():
    return models.load(catalogue.TEACHING)


def test_the_bundled_model_predicts_its_own_little_language_and_differs_in_size_alone(teaching):
    test = teaching.card.smoke_test
    assert test.loss < 2 < test.of_frequencies < math.log(teaching.gpt.config.vocab_size)
    assert not test.is_far_off and test.of_its_size is None
    assert teaching.card.settings.keys() == {"block_size", "vocab_size"}
    assert teaching.card.source == "bundled with Patchboard"
    assert teaching.card.memory == 4 * teaching.card.parameters


def test_the_loss_is_that_of_the_model_on_the_text_that_is_named(teaching):
    test = teaching.card.smoke_test
    ids = torch.tensor([teaching.encoder.encode(test.text)])
    _, loss = teaching.gpt(ids[:, :-1], ids[:, 1:])
    assert (test.loss, test.tokens) == (pytest.approx(loss.item(), abs=1e-3), ids.shape[1] - 1)


def with_attention_of_other_weights(gpt: GPT) -> None:
    for block in gpt.transformer.h:
        block.attn.c_proj.weight.data = block.attn.c_proj.weight.data.t().contiguous()


def with_numbers_that_are_none(gpt: GPT) -> None:
    gpt.transformer.ln_f.weight.data[0] = math.nan


@pytest.mark.parametrize("damage", [with_attention_of_other_weights, with_numbers_that_are_none])
def test_a_model_that_is_computed_wrongly_is_far_off(teaching, damage):
    gpt = GPT.from_pretrained(catalogue.TEACHING.folder)
    damage(gpt)
    test = card.smoke_test(gpt, teaching.encoder, closed_vocabulary=True)
    assert test.is_far_off
    assert test.loss is None or test.loss > teaching.card.smoke_test.loss + 3


def test_what_a_guess_by_frequency_costs_is_known_of_any_vocabulary():
    assert card._entropy_of_frequencies(1) == 0
    assert card._entropy_of_frequencies(2) == pytest.approx(0.6365, abs=1e-4)  # of 2/3 and 1/3
    assert card._entropy_of_frequencies(50_257) == pytest.approx(7.566, abs=0.001)


@pytest.mark.parametrize(
    ("parameters", "vocab_size", "reached"),
    [
        *((82e6, 50_257, 3.12), (355e6, 50_258, 2.84), (1558e6, 50_257, 2.54)),
        *((124e6, 32_000, None), (1e6, 50_257, None), (7e9, 50_257, None)),
    ],
)
def test_what_is_published_stands_beside_models_of_that_size_alone(parameters, vocab_size, reached):
    assert card._published(parameters, vocab_size) == reached


def test_a_folder_of_other_settings_says_which(tmp_path, monkeypatch):
    folder = builders.write_model_folder(tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    asked = {"activation_function": "gelu_pytorch_tanh", "n_inner": 32, "layer_norm_epsilon": 1e-5}
    (folder / "config.json").write_text(json.dumps(config | asked))
    loaded = models.load(catalogue.find(str(folder)))
    assert loaded.card.settings == {
        "activation_function": "gelu_pytorch_tanh",
        "block_size": 24,
        "vocab_size": 276,
    }
    assert loaded.card.tokenizer == "276 tokens, from vocab.json, merges.txt"
    assert loaded.card.smoke_test.is_far_off  # its weights are random
    assert (loaded.card.source, loaded.card.revision) == ("a local folder", "")
    assert ModelCard.from_dict(json.loads(json.dumps(asdict(loaded.card)))) == loaded.card


def test_what_was_left_out_of_the_files_is_noted(tmp_path):
    folder = builders.write_model_folder(tmp_path / "mine")
    weights = load_file(folder / "model.safetensors") | {"v_head.summary.weight": torch.ones(1, 8)}
    save_file(weights, folder / "model.safetensors")
    (note,) = models.load(catalogue.find(str(folder))).card.notes
    assert "v_head.summary.weight" in note


def test_a_model_of_one_position_has_nothing_to_predict():
    encoder = builders.tiny_encoder()
    gpt = builders.random_gpt(vocab_size=len(encoder.encoder), block_size=1)
    assert card.smoke_test(gpt, encoder) is None
