"""The self-check: it passes on a model that is right, and says so when the engine is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core import models
from core.checks import verify
from core.checks.verify import Check
from core.engine.sweep import Sweep
from core.result import ModelCard
from mingpt.bpe import Encoder, load_encoder
from mingpt.tokenizer_files import Extras
from tests.builders import random_gpt

CASES = json.loads(verify._REFERENCE.read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def teaching() -> models.LoadedModel:
    return models.load(models.named("teaching"), device="cpu")


def test_all_that_can_be_run_passes_and_the_rest_says_why_not(teaching):
    """On the bundled model all but the numbers published for another; it stays as it was."""
    made = list(verify.checks(teaching))
    assert len(made) == verify.number_of_checks()
    skipped = [check for check in made if check.skipped]
    assert len(made) - len(skipped) >= 6
    assert len(skipped) == len(CASES) > 5
    for check in made:
        assert check.title and check.source
        assert check.passed == bool(check.compared) == (check not in skipped)
        if check.skipped:
            assert check.skipped == "published for gpt2, and this is teaching"
    assert teaching.gpt.layer_activations == {}
    assert teaching.gpt.last_token_logits is None


def test_a_tokenizer_that_changes_texts_need_not_give_them_back(teaching):
    plain = teaching.encoder
    spaced = Encoder(plain.encoder, [*plain.bpe_ranks], Extras(prefix_space=True))
    *_, check = verify.invariants(replace(teaching, encoder=spaced))
    assert check.skipped == "this model's tokenizer changes texts"
    *_, check = verify.invariants(teaching)
    assert check.title == "Any text comes back from its tokens" and check.compared > 50


def test_on_a_model_of_that_name_every_published_case_is_run(gpt2_tokenizer_folder):
    """On random weights of GPT-2 small's layers and heads: all but the token ids are wrong."""
    encoder = load_encoder(gpt2_tokenizer_folder)
    gpt = random_gpt(12, 12, 24, vocab_size=len(encoder.encoder), block_size=64)
    card = ModelCard("gpt2", "0123456789ab", 12, 0)
    model = models.LoadedModel(models.named("gpt2"), card, gpt.requires_grad_(False), encoder, 0.0)
    half = replace(model, card=replace(card, dtype="bfloat16"))
    assert [check.skipped for check in verify.published(half) if check.skipped] == [
        "published with more digits than bfloat16 has"
    ] * (len(CASES) - 1)
    checks = list(verify.published(model))
    assert [check.published for check in checks] == [of.published for of in verify.announced()]
    for case, check in zip(CASES, checks, strict=True):
        values = case.get("values") or case.get("probs") or case.get("prompts") or []
        numbers = np.size([row[-1] for row in values] if case["kind"] == "next_tokens" else values)
        assert check.compared == (numbers or sum(len(text["ids"]) for text in case["texts"]))
        assert check.passed == (case["kind"] == "token_ids")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_wrong_engine_is_found_out_in_every_precision(monkeypatch, dtype):
    """In half precision what fits it: a shift that its rounding could hide is none."""
    model = models.load(models.TEACHING, device="cpu", dtype=dtype)
    assert all(check.passed for check in verify.invariants(model))
    shift = 1e-3 if dtype == "float32" else 0.3
    right = Sweep.__iter__

    def wrong(self):
        yield from right(self)
        self.states += shift

    monkeypatch.setattr(Sweep, "__iter__", wrong)
    failed = [check for check in verify.invariants(model) if not check.passed]
    assert any(check.title.startswith("The sweep gives what plain") for check in failed)


def test_a_tokenizer_that_no_example_fits_is_not_checked(loaded):
    (check,) = verify.invariants(loaded)
    assert check.skipped == "no example fits this tokenizer"


@pytest.mark.parametrize(("ours", "passed"), [(1.05, True), (0.89, False), (float("nan"), False)])
def test_a_check_passes_within_its_tolerance(ours, passed):
    assert Check("", "", tolerance=0.1, ours=ours, theirs=1.0).passed is passed


def test_a_check_shows_the_numbers_that_are_farthest_apart():
    check = verify._compare("", "", [1.0, 2.0, 3.0], [1.0, 2.5, 3.1])
    assert (check.ours, check.theirs, check.compared) == (2.0, 2.5, 3)
    assert not check.passed


def test_what_was_published_stands_there_before_anything_is_run():
    shown = {check.title: check for check in verify.announced()}
    assert shown["The assignment's top 20"].published == "·was 0.1634, ·Jones 0.1396, 's 0.0806, …"
    heatmap = shown["The assignment's heatmap, read back from its picture"]
    assert heatmap.published == "12 x 11 numbers from -4.103 to 5.656"
    assert "·Jones 5437" in shown["Token ids"].published
    assert shown["What a beginning <|endoftext|> changes: with it"].published == "-6.754"
    assert all(check.skipped == "not run yet" and check.source for check in shown.values())


def test_what_all_checks_take_is_counted_where_they_are_run(teaching, loaded):
    operations, memory = verify.estimate(teaching)
    named = replace(teaching, card=replace(teaching.card, name="gpt2"))
    of_published = verify.estimate(named)
    assert of_published[0] > 3 * operations > 0
    assert of_published[1] > memory > 0
    assert verify.estimate(loaded) == (0, 0)  # which no example fits
