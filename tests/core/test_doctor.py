"""What would make a better pair: every word that is offered flips the answer, checked by itself."""

import pytest
import torch

from core import catalogue, doctor, models, presets
from core.models import LoadedModel
from core.question.tokens import tokenize
from core.steps import finish
from core.study import PlainRuns
from tests import builders

ASKED = presets.PRESETS[0].experiment("teaching")


@pytest.fixture(scope="module")
def teaching() -> LoadedModel:
    return models.load(catalogue.TEACHING)


def probabilities(model: LoadedModel, text: str) -> torch.Tensor:
    """What comes next, by the model's own forward pass."""
    with torch.inference_mode():
        logits, _ = model.gpt(torch.tensor([model.encoder.encode(text)]))
    return logits[0, -1].softmax(dim=-1)


def test_targets_and_foils_are_what_one_run_expects_more_than_the_other(teaching):
    changed = presets.PRESETS[2].experiment("teaching")  # whose corrupted run is undecided
    apart = doctor.told_apart(PlainRuns(changed, teaching))
    assert [row.token.text for row in apart["clean"]] == [" Jones"]
    assert len(apart["corrupted"]) == 4
    clean, corrupted = (probabilities(teaching, of) for of in (changed.clean, changed.corrupted))
    gains = [(corrupted - clean)[row.token.id].item() for row in apart["corrupted"]]
    assert gains == pytest.approx((corrupted - clean).topk(4).values.tolist(), abs=1e-5)
    for row in apart["corrupted"]:
        assert row.prob == pytest.approx(corrupted[row.token.id].item(), abs=1e-5)


def test_texts_that_make_no_difference_tell_nothing_apart(loaded, monkeypatch):
    plain = PlainRuns(builders.experiment(), loaded)
    monkeypatch.setattr(plain, "state", lambda side: PlainRuns.state(plain, "clean"))
    assert doctor.told_apart(plain) == {"clean": (), "corrupted": ()}


@pytest.mark.parametrize("memory", [doctor._MEMORY, 1])
def test_every_word_flips_the_answer_as_surely_as_is_said(teaching, monkeypatch, memory):
    """Also where the texts have no room to go through the model together."""
    monkeypatch.setattr(doctor, "_MEMORY", memory)
    monkeypatch.setattr(doctor, "TRIED", 60)
    clean = tokenize(ASKED.clean, teaching.encoder, most=99, field="clean")
    target, found = finish(doctor.swaps(teaching, clean, 1))
    assert target.text == " Jones" and len(found) > 30
    assert [swap.lead for swap in found] == sorted((swap.lead for swap in found), reverse=True)
    surnames = set(presets.word_groups(teaching.encoder)["Surnames"])
    assert {swap.word.text.strip() for swap in found[:10]} <= surnames - {"Jones"}
    before = probabilities(teaching, ASKED.clean)
    for swap in found[:5] + found[-5:]:
        assert swap.text == ASKED.clean.replace(" Jones", swap.word.text)
        assert len(teaching.encoder.encode(swap.text)) == len(clean)
        after, answer = probabilities(teaching, swap.text), swap.answer.token.id
        leads = (before[target.id] - before[answer], after[answer] - after[target.id])
        assert swap.lead == pytest.approx(min(of.item() for of in leads), abs=1e-5)
        assert swap.lead >= 0.01
        assert after[answer] == max(p for id, p in enumerate(after) if id != target.id)


def test_the_asked_target_is_the_answer_that_is_to_flip(teaching):
    clean = tokenize(ASKED.clean, teaching.encoder, most=99, field="clean")
    never = teaching.encoder.encode(" blue")[0]
    target, found = finish(doctor.swaps(teaching, clean, 1, never))
    assert target.text == " blue"
    assert found == ()  # nothing takes a lead from what never had one


def test_what_a_tokenizer_puts_before_a_text_stays_out_of_what_is_filled_in(teaching):
    clean = tokenize(ASKED.clean, teaching.encoder, most=99, field="clean", bos=True)
    _, found = finish(doctor.swaps(teaching, clean, 2, before=1))
    assert found and found[0].text == ASKED.clean.replace(" Jones", found[0].word.text)
