"""Two texts and two tokens: a pair that can be patched, or every problem with it, in words."""

import pytest

from core.errors import UserError
from core.question.pair import Draft, draft
from tests.builders import CLEAN, CORRUPTED, experiment, tiny_encoder

ENCODER = tiny_encoder()


def drafted(most: int = 20, **changes) -> Draft:
    return draft(experiment(**changes), ENCODER, most)


def problems(**changes) -> dict[str, str]:
    return {field: str(problem) for field, problem in drafted(**changes).problems.items()}


def test_a_good_experiment_is_a_pair():
    read = drafted()
    assert not read.problems and read.texts_fit
    pair = read.pair
    for tokens, text in ((pair.clean, CLEAN), (pair.corrupted, CORRUPTED)):
        assert len(tokens) == 7 and "".join(token.text for token in tokens) == text
    assert (pair.target.text, pair.foil.text) == (" Lee", " Poe")
    assert read.texts == (pair.clean, pair.corrupted)


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        (
            {"clean": "Anna Lee met", "corrupted": "Anna Poe"},
            "corrupted",
            "The texts must have the same number of tokens, but the clean text has 1 more: clean 3,"
            " corrupted 2. They part at position 1: ·Lee against ·Poe."
            " Swap in words that are as many tokens.",
        ),
        (
            {"clean": "Anna Lee", "corrupted": "Anna Lee met Bob"},
            "corrupted",
            "The texts must have the same number of tokens, but the corrupted text has 2 more:"
            " clean 2, corrupted 4. They part at position 2: the end against ·met."
            " Swap in words that are as many tokens.",
        ),
        (
            {"corrupted": CLEAN},
            "corrupted",
            "The two texts are the same: change a word in the corrupted text.",
        ),
        (
            {"foil": " Lee"},
            "foil",
            "Target and foil are both ·Lee: their difference would always be 0."
            " Choose another foil.",
        ),
    ],
)
def test_what_cannot_be_a_pair_says_why(changes, field, text):
    assert problems(**changes) == {field: text}


@pytest.mark.parametrize("direction", ["dataset_mean", "resample"])
def test_what_needs_other_pairs_is_refused_to_one_alone_and_says_where_it_is(direction):
    read = draft(experiment(direction=direction), tiny_encoder(), 24)
    assert list(read.problems) == ["direction"] and not read.texts_fit
    said = str(read.problems["direction"])
    assert f"({direction}) takes what it puts in from other pairs" in said
    assert "it is on the page “Many pairs”, and in `python -m core many`" in said
    assert said.endswith("take one of denoise, noise, zero, position_mean.")


def test_all_problems_are_found_at_once():
    found = problems(clean="", corrupted="a\0", target=" Lee met", foil="")
    assert list(found) == ["clean", "corrupted", "target", "foil"]
    assert found["clean"] == "The clean text is empty: type a sentence."
    assert found["corrupted"].startswith("Character 2 of the corrupted text is the control")
    assert found["target"].startswith("The target must be one token")
    assert found["foil"].startswith("The foil is empty")


def test_bos_stands_at_the_head_of_both_texts_and_counts():
    pair = drafted(most=8, bos=True).pair
    assert pair.clean[0] == pair.corrupted[0]
    assert pair.clean[0].text == "<|endoftext|>"
    assert len(pair.clean) == 8
    with pytest.raises(UserError, match="clean text has 8 tokens and this model reads at most 7"):
        _ = drafted(most=7, bos=True).pair


def test_what_is_read_otherwise_than_as_its_characters_is_told_once():
    told = "<|endoftext|> was read as its characters: this model has no such special token."
    texts = {"clean": f"{CLEAN}<|endoftext|>", "corrupted": f"{CORRUPTED}<|endoftext|>"}
    assert drafted(most=40, **texts).notes == (told,)
    assert drafted(foil="<|endoftext|>").notes == ()  # of what cannot be read there is a problem
    assert drafted().notes == ()


def test_the_texts_can_be_run_whatever_target_and_foil_are():
    read = drafted(target="", foil=" Lee met")
    assert read.texts_fit
    assert len(read.texts[0]) == 7
    with pytest.raises(UserError, match="The target is empty"):
        _ = read.pair


def test_texts_that_cannot_be_run_raise_their_problem_and_the_rest_is_read():
    read = drafted(corrupted="", target="")
    assert not read.texts_fit
    with pytest.raises(UserError, match="The corrupted text is empty") as refusal:
        _ = read.texts
    assert refusal.value.field == "corrupted"
    assert [token.text for token in read.clean][:2] == ["Anna", " Lee"]
    assert read.corrupted is None and read.foil.text == " Poe"
