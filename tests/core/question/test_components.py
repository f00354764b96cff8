"""Components and how they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.question.components import Component, everything, parse, write

L, H, T = 12, 12, 15


def test_names_are_read_in_their_order_whatever_is_between_them():
    assert parse(" 9.9,9.6 mlp0;\nresid3@8 attn2@-1 Embedding@0 ", L, H, T) == (
        Component("head", 9, 9),
        Component("head", 9, 6),
        Component("mlp", 0),
        Component("resid", 3, position=8),
        Component("attn", 2, position=14),
        Component("embedding", position=0),
    )
    assert parse(" ", L, H, T) == ()


components = st.builds(
    Component, st.sampled_from(["attn", "mlp"]), st.integers(0, L - 1), st.none(),
    st.none() | st.integers(0, T - 1),
) | st.builds(
    Component, st.just("head"), st.integers(0, L - 1), st.integers(0, H - 1),
    st.none() | st.integers(0, T - 1),
)  # fmt: skip


@given(st.lists(components, unique=True))
def test_what_is_written_is_read_again(found):
    assert parse(write(found), L, H, T) == tuple(found)


def test_everything_is_all_heads_all_mlps_and_the_embedding():
    whole = everything(L, H)
    assert len(whole) == len(set(whole)) == 1 + L * (H + 1)
    assert parse(write(whole), L, H, T) == whole


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9", "'9' is no component: write heads as 9.6 (layer 9, head 6), MLPs as mlp3"),
        ("9.6.q", "'9.6.q' is no component"),
        ("mlp", "'mlp' is no component"),
        ("12.0", "12.0: there is no layer 12; this model's layers are 0 to 11."),
        ("0.12", "0.12: there is no head 12; this model's heads are 0 to 11."),
        ("mlp3@15", "mlp3@15: there is no position 15; the texts have 0 to 14."),
        ("resid3", "resid3 needs a position, as resid3@14."),
        ("9.6 mlp0 9.6", "9.6 is named twice: once is enough."),
        ("9.6@14 9.6@-1", "9.6@14 is named twice"),
        ("1" * 500, "is no component"),
        ("![i](//x)", "is no component"),
    ],
)
def test_what_names_none_says_so(text, says):
    with pytest.raises(UserError) as error:
        parse(text, L, H, T)
    assert says in str(error.value) and error.value.field == "components"
    assert len(str(error.value)) < 600
