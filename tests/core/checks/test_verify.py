"""The self-check: it passes on a model that is right, and says so when the engine is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core import catalogue, models
from core.checks import verify
from core.checks.verify import Check
from core.engine.sweep import Sweep
from core.errors import UserError
from core.many import packs, survey
from core.question.experiment import Experiment
from core.result import ModelCard
from core.study import Study
from mingpt.bpe import Encoder, load_encoder
from mingpt.tokenizer_files import Extras
from tests.builders import oracle, random_gpt
from tests.live_bytes import LiveBytes

CASES = json.loads(verify._REFERENCE.read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def teaching() -> models.LoadedModel:
    return models.load(catalogue.named("teaching"), device="cpu")


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


@pytest.fixture(scope="module")
def named_gpt2(gpt2_tokenizer_folder) -> models.LoadedModel:
    """Random weights of GPT-2 small's layers and heads, with its tokenizer."""
    encoder = load_encoder(gpt2_tokenizer_folder)
    gpt = random_gpt(12, 12, 24, vocab_size=len(encoder.encoder), block_size=64)
    card = ModelCard("gpt2", "0123456789ab", 12, 0)
    return models.LoadedModel(
        catalogue.named("gpt2"), card, gpt.requires_grad_(False), encoder, 0.0
    )


def test_on_a_model_of_that_name_every_published_case_is_run(named_gpt2):
    """On random weights all but the token ids are wrong."""
    model = named_gpt2
    half = replace(model, card=replace(model.card, dtype="bfloat16"))
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
    model = models.load(catalogue.TEACHING, device="cpu", dtype=dtype)
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


def test_what_all_checks_take_is_counted_where_they_are_run(named_gpt2, loaded):
    """Of the published maps each pair counts as an experiment of its own would."""
    other = replace(named_gpt2, card=replace(named_gpt2.card, name="other"))
    (operations, memory), of_published = map(verify.estimate, (other, named_gpt2))
    pairs = [pair for case in CASES if case["kind"] == "map" for pair in _experiments_of(case)]
    assert len(pairs) == 3 + 4 * 8
    alone = sum(Study(pair, named_gpt2).estimate[0] for pair in pairs)
    assert of_published[0] == operations + alone > 3 * operations > 0
    assert of_published[1] > memory > 0
    assert verify.estimate(loaded) == (0, 0)  # which no example fits


def _experiments_of(case: dict) -> list[Experiment]:
    about = {"model": "gpt2", "bos": case["bos"], "site": case["site"]}
    return [Experiment(**pair, **about) for pair in case["pairs"]]


@pytest.fixture
def averaged(teaching, monkeypatch) -> dict:
    """A case of several pairs as others would publish it, for the teaching model: each cell a run
    of plain NumPy, and the ratio of their means."""
    pairs, plain = packs.PACKS["teaching-agreement"].make()[:4], oracle(teaching.gpt)

    def difference(logits: np.ndarray, pair) -> float:
        target, foil = (teaching.encoder.encode(*of)[0] for of in (pair.target, pair.foil))
        return logits[-1, foil] - logits[-1, target]

    above, below = [], []
    for pair in pairs:
        clean, corrupted = (teaching.encoder.encode(of) for of in (pair.clean, pair.corrupted))
        (logits, stream), base = plain.forward(clean), plain.forward(corrupted)[0]
        cells = [
            difference(plain.forward(corrupted, {(layer - 1, p): stream[layer - 1][p]})[0], pair)
            for layer, p in np.ndindex(teaching.card.layers, len(clean))
        ]  # before a layer is after the one below it
        above.append(np.reshape(cells, (-1, len(clean))) - difference(base, pair))
        below.append(difference(logits, pair) - difference(base, pair))
    ratios = [one / other for one, other in zip(above, below, strict=True)]
    values = sum(above) / sum(below)
    assert np.abs(np.mean(ratios, axis=0) - values).max() > 1e-3  # the two can be told apart
    case = next(case for case in CASES if case["kind"] == "map" and len(case["pairs"]) > 1)
    texts = [
        {"clean": of.clean, "corrupted": of.corrupted, "target": of.target[0], "foil": of.foil[0]}
        for of in pairs
    ]
    case = case | {"bos": False, "pairs": texts, "values": values.tolist(), "tolerance": 1e-4}
    monkeypatch.setattr(verify, "_reference", lambda: {"model": "teaching", "cases": [case]})
    return case


def test_a_map_over_several_pairs_is_held_against_the_ratio_of_their_means(
    teaching, averaged, monkeypatch
):
    (check,) = verify.published(teaching)
    assert check.passed and check.compared == np.size(averaged["values"]), check.line
    with LiveBytes() as live:
        list(verify.published(teaching))
    assert 0 < live.peak < verify.estimate(teaching)[1]
    read = survey.Survey.read
    monkeypatch.setattr(survey.Survey, "read", lambda of, asked: read(of, asked, of_ratios=True))
    (check,) = verify.published(teaching)
    assert not check.passed and check.difference > 1e-3


def test_no_pair_of_a_published_map_is_left_out_unseen(teaching, averaged):
    averaged["pairs"][1]["target"] = " two words"
    with pytest.raises(UserError, match=r"Pair 2 of “TransformerLens.* cannot be used: The target"):
        list(verify.published(teaching))
