"""Texts of unequal length: the changes that are offered make them equally long, the least first."""

import pytest

from core.question.repairs import repairs, text_of
from tests.builders import tiny_encoder

ENCODER = tiny_encoder()
CLEAN = "Anna Lee met Bob Ray. Anna"


@pytest.mark.parametrize(
    ("clean", "corrupted", "first"),
    [
        pytest.param(
            CLEAN,
            "Anna Poe met Bob. Anna",
            ("corrupted: add ·Ray after ·Bob", "corrupted", "Anna Poe met Bob Ray. Anna"),
            id="what is missing is added",
        ),
        pytest.param(
            CLEAN,
            "Anna Poe met Bob Ray.. Anna",
            ("corrupted: drop .", "corrupted", "Anna Poe met Bob Ray. Anna"),
            id="what is too many is dropped",
        ),
        pytest.param(
            CLEAN,
            "Anna Poet met Bob Ray. Anna",
            ("corrupted: ·Poet → ·Poe", "corrupted", "Anna Poe met Bob Ray. Anna"),
            id="a word of two tokens becomes its first",
        ),
        pytest.param(
            "Anna Poet met Bob Ray. Anna",
            CLEAN,
            ("clean: ·Poet → ·Poe", "clean", "Anna Poe met Bob Ray. Anna"),
            id="in whichever text it is",
        ),
        pytest.param(
            CLEAN,
            "Anna Poet met Bob Ray.. Anna",
            (
                "corrupted: as long as the other text in 2 places",
                "corrupted",
                "Anna Poe met Bob Ray. Anna",
            ),
            id="several places at once",
        ),
    ],
)
def test_the_least_change_comes_first_and_makes_the_texts_equally_long(clean, corrupted, first):
    found = repairs(clean, corrupted, ENCODER)
    says, field, text = first
    assert (found[0].says, found[0].changes) == (says, {field: text})
    for repair in found:
        texts = {"clean": clean, "corrupted": corrupted} | repair.changes
        one, other = (ENCODER.encode(of) for of in texts.values())
        assert len(one) == len(other) and one != other
        assert len(repair.changes) == 1


def test_words_like_the_other_texts_are_offered_in_the_place_of_a_longer_one():
    found = repairs(
        CLEAN, "Anna Poet met Bob Ray. Anna", ENCODER, lambda word: [" Ray"] * (word == " Lee")
    )
    assert {"corrupted": "Anna Ray met Bob Ray. Anna"} in [repair.changes for repair in found]


def test_of_the_same_text_twice_a_word_gives_way_to_one_like_it():
    found = repairs(CLEAN, CLEAN, ENCODER, lambda word: [" Poe", " Ray"] * (word == " Lee"))
    assert [repair.changes for repair in found] == [
        {side: "Anna Poe met Bob Ray. Anna"} for side in ("corrupted", "clean")
    ]


@pytest.mark.parametrize(
    ("clean", "corrupted"),
    [
        pytest.param(CLEAN, "Anna Lee Lee met Bob Ray. Anna", id="they would be the same then"),
        pytest.param(CLEAN, "\ud800", id="no text"),
        pytest.param(CLEAN, "Anna" * 3000, id="long"),
    ],
)
def test_where_nothing_would_do_nothing_is_offered(clean, corrupted):
    assert repairs(clean, corrupted, ENCODER) == ()


def test_tokens_that_no_text_has_are_no_text():
    pieces = ENCODER.encode("A") + ENCODER.encode("nna")
    assert text_of(pieces, ENCODER) is None  # which would be read as one token
    assert text_of(ENCODER.encode(CLEAN), ENCODER) == CLEAN
    assert text_of(ENCODER.encode("é")[:1], ENCODER) is None
