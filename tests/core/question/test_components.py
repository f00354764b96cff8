"""A set is written in one way, and what is none is told the forms there are."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.question.components import Component, all_but, everything, parse, toggled, write

L, H, T = 12, 12, 15
COMPONENTS = [
    *(Component(kind, 11, None, at) for kind, at in product(("attn", "mlp", "resid"), (None, 14))),
    *(Component("head", 10, 3, at) for at in (None, 0)),
    *(Component("embedding", position=at) for at in (None, 2)),
]


@given(st.lists(st.sampled_from(COMPONENTS), unique=True))
def test_a_set_is_what_it_is_written_as(components):
    assert parse(write(components), L, H, T) == tuple(components)


def test_blanks_commas_case_and_positions_from_the_end():
    found = parse(" 9.6,9.09  MLP0@-1,\nresid3@8 , Embedding@-15 ", L, H, T)
    assert write(found) == "9.6 9.9 mlp0@14 resid3@8 embedding@0"
    assert parse(" , ", L, H, T) == ()


NONE = ["9", "9.", "9.6.q", "9.6@", "9.6@1.5", "9;6", "mlp", "resid-1", "logits", "９.6", "1" * 99]


@pytest.mark.parametrize("word", [*NONE, "<b>" * 99])
def test_what_is_none_is_told_the_forms_there_are(word):
    with pytest.raises(UserError, match="is no component: write a head as") as told:
        parse(f"9.6 {word}", L, H, T)
    assert told.value.field == "components" and len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12.6", "There is no layer 12: this model's layers are 0 to 11."),
        ("mlp12@3", "There is no layer 12: this model's layers are 0 to 11."),
        ("11.8", "There is no head 8: this model's heads are 0 to 7."),
        ("resid3@15", "There is no position 15: this text's are 0 to 14, or -15 to -1 counted"),
        ("embedding@-16", "There is no position -16: this text's are 0 to 14, or -15 to -1"),
        ("9.6 mlp0 9.6", "9.6 is named twice: name it once."),
        ("mlp0@14 MLP0@-1", "mlp0@14 is named twice, as mlp0@14 and as MLP0@-1: name it once."),
    ],
)
def test_what_is_not_there_or_there_twice(text, message):
    with pytest.raises(UserError) as told:
        parse(text, 12, 8, T)
    assert str(told.value).startswith(message) and told.value.field == "components"


def test_a_component_is_put_in_or_taken_out_and_what_else_was_typed_stays():
    last = Component("mlp", 0, position=T - 1)
    assert toggled("9.6, MLP0@-1 what", last, L, H, T) == "9.6 what"
    assert toggled(" 9.6 what", last, L, H, T) == "9.6 what mlp0@14"
    assert toggled("mlp0", last, L, H, T) == "mlp0 mlp0@14"


def test_everything_but_a_set():
    assert write(everything(2, 2)) == "0.0 0.1 mlp0 1.0 1.1 mlp1"
    for text, rest in {
        "": "0.0 0.1 mlp0 1.0 1.1 mlp1",
        "embedding resid1": "",
        "0.1 mlp1": "0.0 mlp0 1.0 1.1",
        "attn0 resid0@1": "mlp0@0 mlp0@2 1.0 1.1 mlp1",
        "1.1@0 1.1@2": "0.0 0.1 mlp0 1.0 1.1@1 mlp1",
    }.items():
        found = all_but(parse(text, 2, 2, 3), 2, 2, 3)
        assert write(found) == rest
