"""What a tokenizer makes of pairs: the tokens of each, the columns they share, and why not."""

import pytest

from core.errors import UserError
from core.many import marks
from core.many.fitting import Fitted, commonest_tokens, fit, shared_columns
from core.many.pairs import Dropped, Pair
from tests.builders import tiny_encoder

ENCODER = tiny_encoder()
END = max(ENCODER.decoder)


def pair(clean="Anna met", corrupted="Anna Bob", target=" Lee", foil=" Poe", **more) -> Pair:
    """A pair of a file, from texts in which roles are marked."""
    (clean, clean_roles), (corrupted, corrupted_roles) = marks.parse(clean), marks.parse(corrupted)
    words = {
        name: (word,) if isinstance(word, str) else word
        for name, word in (("target", target), ("foil", foil))
    }
    roles = {"clean_roles": clean_roles, "corrupted_roles": corrupted_roles}
    return Pair(**{"id": "a", "line": 5} | words | roles | more, clean=clean, corrupted=corrupted)


def fitted(*pairs: Pair, **how) -> list[Fitted]:
    found, dropped = fit(pairs, ENCODER, 20, **how)
    assert not dropped
    return found


def columns(*args, how=None, **more) -> dict[str, tuple[int, ...]]:
    (found,) = fitted(pair(*args, **more), **how or {})
    return dict(found.columns)


def ids(text: str) -> tuple[int, ...]:
    return tuple(ENCODER.encode(text))


def test_a_pair_becomes_token_ids_and_without_roles_a_column_for_each_position():
    (found,) = fitted(asked := pair(target=(" Lee", " Ray")))
    assert found == Fitted(
        asked, ids("Anna met"), ids("Anna Bob"), ids(" Lee Ray"), ids(" Poe"),
        (("0", (0,)), ("1", (1,))),
    )  # fmt: skip
    assert (found.has_roles, found.roles) == (False, ())
    (found,) = fitted(asked, bos=True)
    assert found.clean == (END, *ids("Anna met"))
    assert [name for name, _ in found.columns] == ["0", "1", "2"]


def test_token_ids_are_taken_as_they_are():
    (found,) = fitted(pair(target=(), foil=(), target_ids=(END, 4), foil_ids=(2,)))
    assert (found.target, found.foil) == ((END, 4), (2,))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            pair(clean="Anna met Bob"),
            "The texts must have the same number of tokens, but the clean text has 1 more: clean 3,"
            " corrupted 2. They part at position 1: ·met against ·Bob. Swap in words that are as"
            " many tokens.",
        ),
        (
            pair(corrupted="Anna met"),
            "The two texts are the same: change a word in the corrupted text.",
        ),
        (pair(clean=" "), "The clean text is empty: type a sentence."),
        (
            pair(clean="Anna" * 21),
            "The clean text has 21 tokens and this model reads at most 20: shorten it.",
        ),
        (
            pair(target="Lee"),
            "The target must be one token, but Lee is 3: L | e | e. With a space before it, it is"
            " one: ·Lee.",
        ),
        (
            pair(foil=(" Poe", " Poems")),
            "The foil must be one token, but ·Poems is 3: ·Poe | m | s. Choose another word, or its"
            " first piece.",
        ),
        (
            pair(foil=" Lee"),
            "Target and foil are both ·Lee: their difference would always be 0. Choose another"
            " foil.",
        ),
        (pair(foil=(" Poe", " Lee")), "Target and foil both hold ·Lee: take it out of one."),
        (pair(target=(" Lee", " Lee")), "The target holds ·Lee 2 times: once is enough."),
        (
            pair(foil=(), foil_ids=(50_000,)),
            f"The foil is token 50000, and this tokenizer has the tokens 0 to {END}: is the file"
            " for another model?",
        ),
        (
            pair(clean="[A:Anna] met"),
            "The roles of the two texts differ: clean A, corrupted none.",
        ),
        (
            pair(clean="[A:Anna] met Bob", corrupted="[A:Anna met] Ray"),
            "The role A is at position 0 in the clean text and at positions 0, 1 in the corrupted"
            " one: it must be at the same.",
        ),
        (
            pair(clean="[A:An][B:na] met", corrupted="Anna Bob"),
            "The roles A and B share the token Anna: a token has one role.",
        ),
        (pair(clean="Anna[A: ]met"), "The role A marks nothing but white space."),
        (
            pair(clean="[last position:Anna] met", corrupted="[last position:Anna] Bob"),
            "A role cannot be called last position, as a column is: rename it.",
        ),
        (pair(labels=("A",) * 3), "There are 3 labels for the 2 tokens of the texts."),
        (
            pair(word_idxs=(("IO", 2),)),
            "IO should be token 2, and the texts have 2, from 0 on.",
        ),
    ],
)
def test_a_pair_the_model_cannot_use_says_why_and_the_others_are(given, reason):
    found, dropped = fit([pair(), given, pair()], ENCODER, 20)
    assert dropped == [Dropped(5, "a", reason)]
    assert len(found) == 2


def test_a_role_is_every_token_of_which_it_has_a_character():
    assert columns("Anna [A:met] Bob", "Anna [A:Bob] Bob") == {"A": (1,), "last position": (2,)}
    texts = "Anna[A: met Bob ]Ray met", "Anna[A: Ray Bob ]Ray met"
    for reduce, positions in (("last", (2,)), ("first", (1,)), ("mean", (1, 2))):
        assert columns(*texts, how={"reduce": reduce})["A"] == positions
    assert columns("[A:Anna] [B:m]et", "[A:Anna] [B:B]ob", how={"bos": True}) == {
        "A": (1,), "B": (2,), "last position": (2,),
    }  # fmt: skip
    # A role of a character of two tokens, behind characters of several bytes each.
    assert columns("é🙂[A:ü]", "é🙂[A:ö]", how={"reduce": "mean"})["A"] == (6, 7)
    with pytest.raises(UserError, match="There is no 'middle' of a role: choose last, mean, first"):
        fit([], ENCODER, 20, reduce="middle")


def test_the_rest_is_read_where_it_is_asked_for():
    texts = "Anna met [A:Bob] met [B:Ray] met met Lee", "Anna met [A:Ray] met [B:Bob] met met Lee"
    rest = {"rest": True, "reduce": "mean"}
    assert list(columns(*texts, how=rest).items()) == [
        ("the rest before", (0, 1)), ("A", (2,)), ("the rest between", (3,)), ("B", (4,)),
        ("the rest after", (5, 6)), ("last position", (7,)),
    ]  # fmt: skip
    assert columns(*texts, how=rest | {"bos": True})["the rest before"] == (1, 2)
    assert columns("[A:Anna] met", "[A:Anna] Bob", how=rest) == {"A": (0,), "last position": (1,)}


def test_labels_are_roles_and_before_word_idxs():
    texts = "Anna met Bob met Anna", "Anna Ray Bob met Anna"
    mean = {"reduce": "mean"}
    labels = ("S", "S", "", "S", "end")
    assert columns(*texts, labels=labels, word_idxs=(("IO", 2),), how=mean) == {
        "S": (0, 1), "S (2)": (3,), "end": (4,), "last position": (4,),
    }  # fmt: skip
    assert columns(*texts, labels=labels, how={"bos": True})["S"] == (2,)
    assert columns(*texts, word_idxs=(("IO", 2), ("S", 0)), how={"bos": True}) == {
        "S": (1,), "IO": (3,), "last position": (5,),
    }  # fmt: skip


def test_pairs_of_one_length_share_their_positions():
    found = fitted(pair(), pair("Anna Ray", "Anna met"), pair(" Bob Ray", " Bob met"))
    names, shared, dropped = shared_columns(found)
    assert (names, shared, dropped) == (("0", "1"), found, [])
    assert commonest_tokens(shared) == ((ids("Anna")[0], 2), (ids(" Ray")[0], 2))


def test_pairs_of_several_lengths_need_roles():
    found = fitted(pair(), pair(), pair("Anna met Bob", "Anna met Ray"))
    with pytest.raises(UserError) as error:
        shared_columns(found)
    assert str(error.value) == (
        "Pairs without roles must all have the same number of tokens to share a map by position,"
        " but they have 2 tokens (2), 3 tokens (1). Mark what corresponds by roles, as in"
        " [S1:John], or keep the pairs of one length."
    )
    with pytest.raises(UserError, match="No pair is left that this model can use"):
        shared_columns([])


def test_pairs_of_different_shape_share_their_roles_in_the_order_most_read_them():
    rest = {"rest": True}
    ab = pair("[A:Anna] met [B:Bob] met", "[A:Anna] met [B:Ray] met")
    ba = pair("[B:Anna] met [A:Bob]", "[B:Anna] met [A:Ray]")
    found = fitted(ba, ab, ab, **rest)
    names, shared, dropped = shared_columns(found)
    assert names == ("A", "the rest between", "B", "last position")
    assert not dropped
    assert [dict(p.columns) for p in shared] == [
        {name: dict(p.columns)[name] for name in names} for p in found
    ]
    assert all(tuple(dict(p.columns)) == names for p in shared)


def test_pairs_with_other_roles_than_most_are_left_out_and_say_so():
    ab = pair("[A:Anna] met [B:Bob]", "[A:Anna] met [B:Ray]")
    a = pair("[A:Anna] met Bob", "[A:Anna] met Ray", id="x", line=8)
    plain = pair("Anna met Bob", "Anna met Ray", id="y", line=9)
    names, shared, dropped = shared_columns(fitted(a, ab, ab, plain))
    assert names == ("A", "B", "last position")
    assert [p.pair for p in shared] == [ab, ab]
    end = "and most have the roles A, B: one map needs the same."
    assert dropped == [
        Dropped(8, "x", f"The pair has the roles A, {end}"),
        Dropped(9, "y", f"The pair has no roles, {end}"),
    ]
    names, _, dropped = shared_columns(fitted(a, plain, plain))
    assert names == ("0", "1", "2")
    assert dropped[0].reason == (
        "The pair has the roles A, and most have no roles: one map needs the same."
    )
