"""Small models, tokenizers and results for the tests, all random, all quick."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.catalogue import Entry
from core.engine.sweep import Sweep
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.question.tokens import Token
from core.result import ModelCard, Result
from core.study import Study
from mingpt.bpe import END_OF_TEXT, Encoder, bytes_to_unicode
from mingpt.model import GPT
from tests.numpy_gpt2 import NumpyGPT2

# Every word of these texts is one token of the tiny tokenizer, with the space before it.
CLEAN = "Anna Lee met Bob Ray. Anna"  # 7 tokens
CORRUPTED = "Anna Poe met Bob Ray. Anna"
WORDS = ("Anna", " Anna", " Lee", " Poe", " met", " Bob", " Ray")

UNUSUAL = {  # everything in which a model of the family can differ from GPT-2, by far
    "activation_function": "relu",
    "layer_norm_epsilon": 0.1,
    "n_inner": 99,
    "scale_attn_weights": False,
    "scale_attn_by_inverse_layer_idx": True,
    "tie_word_embeddings": False,
}

# Texts that something or other would not show as they are.
HOSTILE = [*"<script> $x$ 🙂 日本 שלום ** &amp; $\\frac{$ %{x} \x00".split(), "a" * 99]
# Texts that the cell of a table would lose, or a spreadsheet run.
CELLS = ["=1+1", "+1", "-1", "@x", '"', ",", "\r\n", "\t=1", " Jones", "🙂", "\x7f", "\u2028"]


def random_gpt(
    n_layer=2, n_head=2, n_embd=8, *, vocab_size=23, block_size=16, seed=0, **settings
) -> GPT:
    """A model in which every parameter matters: weights so large that heads attend unevenly and
    one replaced activation moves the logits by far more than any tolerance. `settings` are those
    of `mingpt.settings`."""
    config = GPT.get_default_config()
    sizes = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd}
    sizes |= {"vocab_size": vocab_size, "block_size": block_size}
    dropout = dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0)
    config.merge_from_dict(sizes | dropout | settings)
    model = GPT(config).eval()
    shake(model, seed)
    return model


def shake(model: torch.nn.Module, seed: int) -> None:
    """Random weights, biases and LayerNorms, of a size that keeps the stream near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                is_gain = ".ln_" in name and name.endswith("weight")
                parameter.copy_(0.2 * noise + (1.0 if is_gain else 0.0))
            else:
                is_embedding = "wte" in name or "wpe" in name
                parameter.copy_(noise * (0.7 if is_embedding else parameter.shape[1] ** -0.5))


def oracle(model: GPT) -> NumpyGPT2:
    return NumpyGPT2(model.state_dict(), model.config.n_layer, model.config.n_head)


def tiny_encoder(words: tuple[str, ...] = WORDS) -> Encoder:
    """256 bytes, the merges that make each of `words` one token, and `<|endoftext|>`."""
    alphabet = bytes_to_unicode()
    tokens, merges = list(alphabet.values()), []

    def encoder() -> Encoder:
        return Encoder({token: id for id, token in enumerate(tokens)}, merges)

    for word in words:
        joined, *rest = encoder().bpe("".join(alphabet[byte] for byte in word.encode())).split()
        for piece in rest:
            merges.append((joined, piece))
            joined += piece
            tokens.append(joined)
    tokens.append(END_OF_TEXT)
    return encoder()


def write_tokenizer(encoder: Encoder, folder: Path, names=("vocab.json", "merges.txt")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    merges = ["#version: 0.2", *(" ".join(pair) for pair in encoder.bpe_ranks)]
    (folder / names[0]).write_text(json.dumps(encoder.encoder), encoding="utf-8")
    (folder / names[1]).write_text("\n".join(merges) + "\n", encoding="utf-8")
    return folder


def write_model_folder(folder: Path, model: GPT | None = None) -> Path:
    """A folder as Hugging Face lays it out: config, weights and the tiny tokenizer."""
    encoder = tiny_encoder()
    write_tokenizer(encoder, folder)
    model = model or random_gpt(3, 2, 8, vocab_size=len(encoder.encoder), block_size=24)
    model.save_pretrained(folder)
    return folder


def loaded_model(n_layer=3, n_head=2, n_embd=8, *, padding=0, seed=0) -> LoadedModel:
    """A random model for the tiny tokenizer; `padding` adds vocabulary rows without a token."""
    encoder = tiny_encoder()
    size = len(encoder.encoder) + padding
    gpt = random_gpt(n_layer, n_head, n_embd, vocab_size=size, block_size=24, seed=seed)
    gpt.requires_grad_(False)
    parameters = sum(parameter.numel() for parameter in gpt.parameters())
    entry = Entry("tiny", "Tiny", "Random weights.")
    card = ModelCard(entry.name, "0123456789ab", n_layer, parameters)
    return LoadedModel(entry, card, gpt, encoder, seconds=0.0)


def swept(sweep: Sweep) -> torch.Tensor:
    """The states of a sweep that is done."""
    list(sweep)
    return sweep.states


def experiment(**changes) -> Experiment:
    """One text pair of the tiny tokenizer, with `changes`."""
    asked = {"clean": CLEAN, "corrupted": CORRUPTED, "target": " Lee", "foil": " Poe"}
    return Experiment(**asked | changes)


def finished(asked: Experiment, model: LoadedModel) -> Study:
    """A study of `asked` with its sweep done."""
    study = Study(asked, model)
    list(study)
    return study


def answer(model: LoadedModel, **changes) -> Result:
    """A finished experiment under every metric."""
    asked = experiment(**changes)
    return finished(asked, model).read(asked)


def asked(result: Result, **changes) -> Result:
    """The result as the answer to another question."""
    return replace(result, experiment=experiment(**changes))


def with_tokens(result: Result, texts: list[str]) -> Result:
    """The result with other tokens at its positions, the same in both texts."""
    tokens = tuple(Token(9, text) for text in texts)
    return replace(result, clean=tokens, corrupted=tokens, target=tokens[0], foil=tokens[1])


def of_shape(result: Result, rows: int, positions: int) -> Result:
    """The result with a grid of another size."""
    grids = {name: np.linspace(0, 1, rows * positions, dtype=np.float32) for name in result.grids}
    return replace(
        result,
        clean=result.clean[:1] * positions,
        corrupted=result.corrupted[:1] * positions,
        rows=tuple(map(str, range(rows))),
        grids={name: grid.reshape(rows, positions) for name, grid in grids.items()},
    )


def steps_of(work) -> tuple[list[float], object]:
    """The fractions that work in steps yields, and what comes out; whoever takes the steps can
    compute with gradients in between."""
    fractions, steps = [], iter(work)
    while True:
        try:
            fractions.append(next(steps))
        except StopIteration as end:
            return fractions, end.value
        assert not torch.is_inference_mode_enabled()


def rows_of(text: str) -> list[dict]:
    """The lines of a CSV file of ours, by column."""
    assert text.startswith("\ufeff")  # so that spreadsheets read UTF-8
    return list(csv.DictReader(io.StringIO(text[1:], newline=""), strict=True))


def refused(action, *arguments, **options) -> UserError:
    with pytest.raises(UserError) as refusal:
        action(*arguments, **options)
    return refusal.value
