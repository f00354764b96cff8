"""One text: what its tokens are, how they are shown, and what is wrong with it, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.question.tokens import Token, part_at, single_token, split, token, tokenize, visible
from core.question.tokens import with_leading_space as leading_space
from mingpt.bpe import END_OF_TEXT
from tests.builders import tiny_encoder

ENCODER = tiny_encoder()
HOSTILE = [
    "<script>alert(1)</script>",
    "$x$",
    "**bold**",
    "🙂",
    "日本語",
    "שלום",
    "&amp;",
    "`x`",
    "--",
]


class NeverAsked:
    """A tokenizer that must not be asked, because the text is too long for it."""

    longest_token = ENCODER.longest_token

    def encode(self, text):
        raise AssertionError("the text was tokenized")


def refused(text: str, encoder=ENCODER, **options) -> UserError:
    with pytest.raises(UserError) as refusal:
        tokenize(text, encoder, **{"most": 20, "field": "clean"} | options)
    assert refusal.value.field in ("clean", "bos")
    return refusal.value


def refused_token(text: str, encoder=ENCODER) -> UserError:
    with pytest.raises(UserError) as refusal:
        single_token(text, encoder, field="target")
    assert refusal.value.field == "target"
    return refusal.value


# --- A text -------------------------------------------------------------------------------------


def test_a_text_is_its_tokens():
    tokens = tokenize("Anna Lee!", ENCODER, most=20, field="clean")
    assert [piece.text for piece in tokens] == ["Anna", " Lee", "!"]
    assert [piece.id for piece in tokens] == ENCODER.encode("Anna Lee!")


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n", "\u3000"])
def test_an_empty_or_blank_text_is_refused(text):
    assert str(refused(text)) == "The clean text is empty: type a sentence."


def test_a_text_of_more_tokens_than_the_model_reads_is_refused():
    assert len(tokenize("abcde", ENCODER, most=5, field="clean")) == 5
    assert str(refused("abcdef", most=5)) == (
        "The clean text has 6 tokens and this model reads at most 5: shorten it."
    )


def test_a_pasted_book_is_refused_without_tokenizing_it():
    assert str(refused("word " * 200_000, NeverAsked(), most=1024)) == (
        "The clean text has 1,000,000 characters, which cannot fit into the 1,024 tokens this"
        " model reads: shorten it."
    )


def test_no_text_that_could_fit_is_refused_for_its_length():
    assert len(tokenize(" Anna" * 20, ENCODER, most=20, field="clean")) == 20


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [("a\0b", 2, "0000"), ("\x1b[0m", 1, "001B"), ("ab\x7f", 3, "007F"), ("a\x85b", 2, "0085")],
)
def test_a_control_character_is_named_with_its_place(text, place, code):
    assert str(refused(text)) == (
        f"Character {place} of the clean text is the control character U+{code}: delete it."
    )


def test_line_breaks_and_tabs_are_ordinary_text():
    assert "".join(piece.text for piece in split("a\r\n\tb", ENCODER)) == "a\r\n\tb"
    assert len(tokenize("a\r\n\tb", ENCODER, most=20, field="clean")) == 5


def test_half_of_a_surrogate_pair_is_refused():
    problem = str(refused("ab\udc00"))
    assert problem.startswith("The clean text cannot be read: character 3 of the text is half of a")
    assert "surrogate pair (U+DC00)" in problem


def test_bos_begins_the_text_and_counts():
    tokens = tokenize("ab", ENCODER, most=3, field="clean", bos=True)
    assert tokens[0] == Token(ENCODER.encoder[END_OF_TEXT], END_OF_TEXT)
    assert [piece.text for piece in tokens[1:]] == ["a", "b"]
    assert "has 4 tokens and this model reads at most 3" in str(refused("abc", most=3, bos=True))


def test_a_tokenizer_without_bos_says_so():
    bare = tiny_encoder()
    del bare.encoder[END_OF_TEXT]
    problem = refused("ab", bare, bos=True)
    assert str(problem) == "This model has no <|endoftext|> token to begin with."
    assert problem.field == "bos"


def test_the_end_of_text_typed_as_text_never_becomes_the_special_token():
    tokens = tokenize(f"a {END_OF_TEXT} b", ENCODER, most=99, field="clean")
    assert ENCODER.encoder[END_OF_TEXT] not in [piece.id for piece in tokens]
    assert "".join(piece.text for piece in tokens) == f"a {END_OF_TEXT} b"


# --- One token ----------------------------------------------------------------------------------


def test_one_token_is_taken_as_it_was_typed():
    assert single_token(" Lee", ENCODER, field="target") == Token(ENCODER.encoder["ĠLee"], " Lee")
    assert single_token("a", ENCODER, field="target").text == "a"


def test_an_empty_target_is_refused():
    assert str(refused_token("")) == (
        "The target is empty: type one token, most often a word with a space before it."
    )


def test_a_target_of_several_tokens_is_refused_naming_the_pieces():
    problem = refused_token(" Lee met")
    assert str(problem) == (
        "The target must be one token, but ·Lee·met is 2: ·Lee | ·met."
        " Choose another word, or its first piece."
    )
    assert problem.suggestion is None


def test_a_missing_leading_space_is_noticed():
    problem = refused_token("Lee")
    assert "Lee is 3: L | e | e" in str(problem)
    assert problem.suggestion == " Lee"
    assert leading_space("Anna", ENCODER) == " Anna"  # a token itself, and another with a space


@pytest.mark.parametrize("text", ["", " Lee", "\nLee", "Leex", "\ud83d", "x" * 1_000_000])
def test_no_leading_space_is_offered_where_it_would_not_help(text):
    assert leading_space(text, ENCODER) is None


def test_no_second_leading_space_is_offered():
    assert leading_space(" ", tiny_encoder(words=("  ",))) is None


def test_a_pasted_book_as_target_is_refused_without_tokenizing_it():
    problem = refused_token("word " * 200_000, NeverAsked())
    assert str(problem) == (
        "The target has 1,000,000 characters, more than any token: type one token."
    )


def test_half_of_a_surrogate_pair_is_no_target():
    assert str(refused_token("\ud83d")).startswith("The target cannot be read: character 1")


@pytest.mark.parametrize("text", ["\0", "\x1b"])
def test_a_control_character_is_no_target(text):
    assert f"U+{ord(text):04X}" in str(refused_token(text))


# --- How a token is shown -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" Jones", "·Jones"),
        ("a\n", "a⏎"),
        ("\t", "⇥"),
        ("\0\x1b\x7f\x85", r"\x00\x1b\x7f\x85"),
        ("\u00a0", r"\xa0"),
        ("\u200b\u202e\ufeff", r"\u200b\u202e\ufeff"),
        ("\u2028", r"\u2028"),
        ("e\u0301", "e\u0301"),
        ("", ""),
    ],
)
def test_what_would_not_be_seen_is_written_out(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_emoji_and_other_scripts_stay_literal(text):
    assert visible(text) == text
    tokens = tokenize(text, ENCODER, most=99, field="clean")
    assert [piece.id for piece in tokens] == ENCODER.encode(text)


def test_bytes_that_are_no_character_are_shown_as_bytes():
    first, second = ENCODER.encode("é")
    assert [token(id, ENCODER).label for id in (first, second)] == [r"\xc3", r"\xa9"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_can_be_seen(text):
    shown = visible(text)
    assert not any(char.isspace() for char in shown)
    assert shown.isprintable()
    assert (shown == "") == (text == "")


# --- Two texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clean", "corrupted", "position"),
    [("abc", "abd", 2), ("abc", "xbc", 0), ("ab", "abc", 2), ("abc", "ab", 2), ("ab", "ab", 2)],
)
def test_texts_part_where_they_first_differ_or_one_ends(clean, corrupted, position):
    assert part_at(split(clean, ENCODER), split(corrupted, ENCODER)) == position
