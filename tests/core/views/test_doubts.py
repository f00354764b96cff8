"""What makes a map not worth reading: what is said, what weighs most, and what to ask instead."""

from dataclasses import replace

import pytest

from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import Baseline, Ranked, Result
from core.views.doubts import Doubt, doubts, matters
from tests.builders import experiment

LEE, POE, RAY, BOB = (Token(id, f" {name}") for id, name in enumerate(("Lee", "Poe", "Ray", "Bob")))
SURE, UNSURE = (Ranked(1, LEE, 9.0, 0.9), Ranked(1, POE, 9.0, 0.8)), Ranked(40, RAY, 0.1, 0.0004)


@pytest.fixture
def sound(result) -> Result:
    """The clean run expects the target, the corrupted one the foil, and both by far."""
    return answered(result)


def answered(
    result: Result, ld=(-5.0, 4.0), expects=SURE, target=LEE, foil=POE, **changes
) -> Result:
    """A result whose runs have these logit differences and likeliest tokens."""
    baselines = dict.fromkeys(METRICS, Baseline(0.0, 1.0)) | {"logit_diff": Baseline(*ld)}
    return replace(
        result,
        experiment=experiment(**changes),
        baselines=baselines,
        target=target,
        foil=foil,
        top={side: (row,) for side, row in zip(("clean", "corrupted"), expects, strict=True)},
    )


def of(result: Result, target: Ranked = SURE[0], foil: Ranked = SURE[1], **more) -> list[Doubt]:
    """What is doubtful where the clean run has the target at `target`, the corrupted one the foil
    at `foil`."""
    return [*doubts(result, {"clean": (target, UNSURE), "corrupted": (UNSURE, foil)}, **more)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("direction", ["denoise", "noise", "zero"])
def test_of_runs_that_part_over_what_they_expect_nothing_is_doubtful(result, metric, direction):
    assert of(answered(result, metric=metric, direction=direction)) == []


def test_a_corrupted_run_that_is_undecided_is_no_reason_to_doubt(result):
    undecided = Ranked(24, POE, 1.0, 0.026)
    assert of(answered(result, ld=(-14.6, -0.22)), foil=undecided) == []
    assert of(answered(result, ld=(-0.4, 0.4))) == []


@pytest.mark.parametrize("metric", ["logit_diff", "recovery"])
def test_runs_that_hardly_differ_are_told_with_both_numbers_and_why(result, metric):
    alike = {"metric": metric, "expects": (SURE[0], SURE[0])}
    assert of(answered(result, ld=(-2.0, -1.49), **alike))[0].says.startswith("The answer does not")
    (doubt,) = of(answered(result, ld=(-2.0, -1.51), **alike))
    assert doubt.says == (
        "The two runs hardly differ: logit(·Poe) - logit(·Lee) is -2.0000 after the clean text and"
        " -1.5100 after the corrupted one."
    )
    assert doubt.why.startswith("Half a logit changes the odds by a factor of 1.6: less is little")
    assert doubt.changes == {}  # both expect the same: only another text helps


def test_where_they_expect_different_tokens_those_are_the_fix(result):
    (doubt,) = of(answered(result, ld=(0.1, 0.2), expects=(UNSURE, SURE[1])))
    assert doubt.changes == {"target": " Ray", "foil": " Poe"}
    assert "The clean run expects ·Ray, the corrupted one ·Poe." in doubt.why


def test_a_probability_that_hardly_moves_is_better_read_as_logits(result):
    told = answered(result, metric="target_prob")
    told.baselines["target_prob"] = Baseline(0.0004, 0.0000123)
    (doubt,) = of(told)
    assert "P(·Lee) is 0.0400% after the clean text and 0.00123% after" in doubt.says
    assert doubt.changes == {"metric": "logit_diff"}


def test_predictions_that_are_alike_are_told_as_such(result):
    told = answered(result, metric="kl", ld=(0, 0))
    told.baselines["kl"] = Baseline(0.0, 0.019)
    (doubt,) = of(told)
    assert "KL divergence is 0.0000 after the clean text and 0.0190" in doubt.says
    assert doubt.changes == {}


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("logit_diff", ["target", "foil"]),
        ("recovery", ["target", "foil"]),
        ("target_logit_change", ["target"]),
        ("foil_prob", ["foil"]),
        ("kl", []),
    ],
)
def test_a_token_that_its_run_does_not_expect_is_told_with_both_and_can_be_exchanged(
    result, metric, names
):
    expects = Ranked(1, BOB, 3.0, 0.62), Ranked(1, RAY, 3.0, 0.5)
    target, foil = Ranked(1204, LEE, 0.0, 0.0000123), Ranked(12, POE, 0.0, 0.0099)
    found = of(answered(result, metric=metric, expects=expects), target, foil)
    says = {
        "target": "The clean run expects ·Bob (62.00%); the target ·Lee is only its number 1,204"
        " (0.00123%).",
        "foil": "The corrupted run expects ·Ray (50.00%); the foil ·Poe is only its number 12"
        " (0.990%).",
    }
    fixes = {"target": " Bob", "foil": " Ray"}
    assert [(doubt.says, doubt.changes) for doubt in found] == [
        (says[name], {name: fixes[name]}) for name in names
    ]


def test_one_percent_is_enough_to_be_expected(result):
    assert of(answered(result), Ranked(30, LEE, 0.0, 0.01), Ranked(30, POE, 0.0, 0.01)) == []


def test_an_ablation_has_to_do_with_the_clean_run_alone(result):
    told = answered(result, direction="zero", ld=(-5.0, -5.0))
    assert of(told, foil=UNSURE) == []
    assert len(of(told, target=UNSURE, foil=UNSURE)) == 1


def test_a_token_that_cannot_be_typed_or_is_the_other_one_is_no_fix(result):
    expects = Ranked(1, BOB, 3.0, 0.62), SURE[1]
    (doubt,) = of(answered(result, expects=expects), UNSURE, typed=lambda token: token != BOB)
    assert "·Bob" in doubt.says and doubt.changes == {}
    (doubt,) = of(answered(result, expects=(SURE[1], SURE[1])), UNSURE)
    assert "·Poe" in doubt.says and doubt.changes == {}


@pytest.mark.parametrize(
    ("ld", "ahead", "side", "field"),
    [
        ((-5.0, -1.0), "·Lee is ahead of ·Poe", "corrupted", "foil"),
        ((2.0, 8.0), "·Poe is ahead of ·Lee", "clean", "target"),
    ],
)
def test_an_answer_that_does_not_flip_is_told(result, ld, ahead, side, field):
    expected = Ranked(1, BOB, 3.0, 0.62)
    (doubt,) = of(answered(result, ld=ld, expects=(expected, expected)))
    assert f"{ahead} after both texts, by {abs(ld[0]):.2f} and by {abs(ld[1]):.2f} lo" in doubt.says
    assert f"The {side} run expects ·Bob." in doubt.why
    assert doubt.changes == {field: " Bob"}
    assert of(answered(result, ld=ld, metric="foil_prob")) == []  # which is of one token alone


def test_target_and_foil_the_wrong_way_round_are_swapped_and_nothing_else_is_said(result):
    (doubt,) = of(answered(result, ld=(5.0, -4.0)), UNSURE, UNSURE)
    assert "·Poe is ahead after the clean text, ·Lee after the corrupted one" in doubt.says
    assert doubt.changes == {"target": " Poe", "foil": " Lee"}


def test_words_the_model_does_not_know_come_first_and_not_all_are_named(result):
    unknown = (" milk", "milk", " jam", "\u202ex", " tea", " nut")
    first, *others = of(answered(result, ld=(0.0, 0.0)), unknown=unknown)
    assert first.says == "This model does not know “milk”, “jam”, “\\u202ex” and 2 more."
    assert first.changes == {"model": "gpt2"}
    assert [other.says[:28] for other in others] == ["The two runs hardly differ: "]


def test_of_a_recovery_half_a_logit_matters_as_well(sound):
    assert matters(sound) == 0.5
    asked = replace(sound, experiment=experiment(metric="recovery"))
    assert matters(asked) == pytest.approx(0.5 / 9)


# --- the texts themselves -----------------------------------------------------------------------

FAR = Ranked(101, RAY, 0.1, 0.00001)
APART = {"clean": (Ranked(1, BOB, 3.0, 0.6),), "corrupted": (Ranked(2, RAY, 3.0, 0.3),)}


def written(tokens) -> str:
    return "".join(token.text for token in tokens)


def with_texts(result: Result, clean: str, corrupted: str) -> Result:
    """The sound result on other texts, a token for each word."""
    words = [*dict.fromkeys(f"{clean} {corrupted}".split())]
    texts = (
        tuple(Token(50 + words.index(word), f" {word}") for word in text.split())
        for text in (clean, corrupted)
    )
    return replace(answered(result), **dict(zip(("clean", "corrupted"), texts, strict=True)))


def test_tokens_that_no_run_expects_make_noise_and_what_the_runs_tell_apart_is_better(result):
    expects = Ranked(1, BOB, 3.0, 0.62), Ranked(1, BOB, 3.0, 0.5)
    told = answered(result, expects=expects)
    far = {side: (FAR, FAR) for side in ("clean", "corrupted")}
    (doubt,) = doubts(told, far, apart=APART)
    assert doubt.says == (
        "Neither ·Lee nor ·Poe is among the first 100 after either text: the map will show noise."
        " The model expects ·Bob (62.00%) after the clean and ·Bob (50.00%) after the corrupted"
        " text."
    )
    assert doubt.changes == {"target": " Bob", "foil": " Ray"}
    (doubt,) = doubts(told, far)  # where both expect the same, another word in the text has to help
    assert (doubt.changes, doubt.swap_at) == ({}, 1)
    near = {"clean": (FAR, FAR), "corrupted": (FAR, replace(FAR, rank=100))}
    assert all("noise" not in doubt.says for doubt in doubts(told, near, apart=APART))


def test_an_answer_that_does_not_flip_is_helped_by_another_token_or_another_word(result):
    told = answered(result, ld=(-5.0, -1.0), expects=(SURE[0], SURE[0]))
    own = {"clean": (SURE[0], UNSURE), "corrupted": (SURE[0], SURE[1])}
    ahead = {"clean": (), "corrupted": (Ranked(1, RAY, 9.5, 0.4),)}
    (doubt,) = doubts(told, own, apart=ahead)
    assert doubt.changes == {"foil": " Ray"} and "·Ray is ahead of it." in doubt.why
    behind = {"clean": (), "corrupted": (Ranked(2, RAY, 8.5, 0.2),)}  # would not flip it either
    (doubt,) = doubts(told, own, apart=behind)
    assert (doubt.changes, doubt.swap_at) == ({}, 1)


@pytest.mark.parametrize("word", ["Lee", "lee", "Poe"])
def test_an_answer_that_a_text_ends_with_is_cut_off_with_what_follows(result, word):
    told = with_texts(result, f"Anna met {word} there now", "Anna saw Bob there now")
    (doubt,) = of(told, written=written)
    name = "target ·Lee" if word.lower() == "lee" else "foil ·Poe"
    assert doubt.says == (
        f"The {name} stands in the clean text’s last tokens already, at position 2, before"
        " ·there·now."
    )
    assert doubt.changes == {"clean": " Anna met", "corrupted": " Anna saw"}
    further = with_texts(result, f"Anna met {word} there now again", "Anna saw Bob there now again")
    assert of(further, written=written) == []  # where texts name it, it may well come again
    same = with_texts(result, f"Anna met {word} there", "Anna met Bob there")
    assert [doubt.changes for doubt in of(same, written=written)] == [{}]  # nothing would be left


@pytest.mark.parametrize(
    ("end", "place", "where"),
    [("", 0, "at the end of"), (" !", 0, "at the"), (" now", 1, "in the")],
)
def test_an_answer_at_the_very_end_comes_before_what_it_explains_and_else_after_it(
    result, end, place, where
):
    told = with_texts(result, f"Anna met Lee{end}", f"Anna saw Bob{end}")
    says = [doubt.says for doubt in of(told, UNSURE, written=written)]
    assert len(says) == 2 and f"·Lee stands {where}" in says[place]


def test_several_changes_at_once_are_told_each_with_a_text_that_has_it_alone(result):
    told = with_texts(result, "a b c d e f g", "a x y d z f g")
    (doubt,) = of(told, written=written)
    assert doubt.says == "Two changes at once: ·b·c / ·x·y at 1, ·e / ·z at 4."
    assert {doubt.fix: doubt.changes} | doubt.more == {
        "Change only ·b·c / ·x·y": {"corrupted": " a x y d e f g"},
        "Change only ·e / ·z": {"corrupted": " a b c d z f g"},
    }
    assert of(told, written=written, is_example=True) == []
    assert of(with_texts(result, "a b c d e", "a d c b e"), written=written) == []  # changed places
    ablated = replace(told, experiment=experiment(direction="zero"))
    assert of(ablated, written=written) == []


def test_of_many_changes_three_are_named(result):
    (doubt,) = of(with_texts(result, "a b c d e f g h i", "a x c x e y g z i"), written=written)
    assert doubt.says.startswith(
        "4 changes at once: ·b / ·x at 1, ·d / ·x at 3, ·f / ·y at 5, 1 more."
    )
    assert len(doubt.more) == 2
