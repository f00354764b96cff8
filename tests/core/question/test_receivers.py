"""A receiver is written in one way, and every other text is told the ways there are."""

from itertools import product

import pytest

from core.errors import UserError
from core.question.receivers import Receiver, parse

RECEIVERS = [
    Receiver("logits"),
    *(Receiver("mlp", layer, None, at) for layer, at in product((0, 11), (None, 0, 14))),
    *(Receiver(kind, 10, 3, at) for kind, at in product(("q", "k", "v", "qkv"), (None, 0, 14))),
]


@pytest.mark.parametrize("receiver", RECEIVERS, ids=str)
def test_a_receiver_is_what_it_is_written_as(receiver):
    assert parse(str(receiver), 12, 12, 15) == receiver


@pytest.mark.parametrize(
    ("text", "receiver"),
    [
        ("logits", Receiver("logits")),
        ("9.6.q", Receiver("q", 9, 6)),
        ("9.6.k@0", Receiver("k", 9, 6, 0)),
        (" 0.11.V@-15 ", Receiver("v", 0, 11, 0)),
        ("9.6", Receiver("qkv", 9, 6)),
        ("9.06@-1", Receiver("qkv", 9, 6, 14)),
        ("MLP3@7", Receiver("mlp", 3, None, 7)),
    ],
)
def test_positions_below_0_count_from_the_end(text, receiver):
    assert parse(text, 12, 12, 15) == receiver


NONE = [
    "",
    "q",
    "9",
    "9.",
    "9.6.",
    "9.6.z",
    "9.6.qk",
    "mlp",
    "mlp3.1",
    "logits@3",
    "9.6.q@",
    "９.6",
]
MORE = ["9.6.q@1.5", "9.6.q@+1", "-1.6", "9.6.q 9.7.q", "resid3", "<b>" * 99, "1" * 10 + ".1"]


@pytest.mark.parametrize("text", NONE + MORE)
def test_what_is_none_is_told_the_forms_there_are(text):
    with pytest.raises(UserError, match="is no receiver: write logits, a head's query") as told:
        parse(text, 12, 12, 15)
    assert all(form in str(told.value) for form in ("9.6.q,", "9.6.k", "9.6.v", "9.6,", "mlp3;"))
    assert told.value.field == "receiver" and len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12.6.q", "There is no layer 12: this model's layers are 0 to 11."),
        ("mlp12", "There is no layer 12: this model's layers are 0 to 11."),
        ("11.8", "There is no head 8: this model's heads are 0 to 7."),
        ("1.2.k@15", "There is no position 15: this text's are 0 to 14, or -15 to -1 counted"),
        ("mlp1@-16", "There is no position -16: this text's are 0 to 14, or -15 to -1 counted"),
    ],
)
def test_what_the_model_or_the_text_does_not_have_is_told_what_it_has(text, message):
    with pytest.raises(UserError) as told:
        parse(text, 12, 8, 15)
    assert str(told.value).startswith(message) and told.value.field == "receiver"
