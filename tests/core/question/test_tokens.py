"""One text: what its tokens are, how they are shown, and what is wrong with it, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.question.tokens import (
    Token,
    can_be_typed,
    in_pieces,
    notes,
    part_at,
    single_token,
    split,
    token,
    tokenize,
    visible,
    whole_words,
)
from core.question.tokens import with_leading_space as leading_space
from mingpt.bpe import END_OF_TEXT, Encoder
from mingpt.tokenizer_files import AddedToken, Extras
from tests.builders import tiny_encoder

ENCODER = tiny_encoder()
HALF = "cannot be read: character {} of the text is half of a surrogate pair (U+{})"


class NeverAsked:
    """A tokenizer that must not be asked, because the text is too long for it."""

    longest_token = ENCODER.longest_token

    def encode(self, text):
        raise AssertionError("the text was tokenized")


def with_extras(**extras) -> Encoder:
    return Encoder(ENCODER.encoder, [*ENCODER.bpe_ranks], Extras(**extras))


def pieces(text: str, most: int = 99, **options) -> list[str]:
    return [piece.text for piece in tokenize(text, ENCODER, most=most, field="clean", **options)]


def refused(text: str, encoder=ENCODER, field: str = "clean", **options) -> str:
    with pytest.raises(UserError) as refusal:
        tokenize(text, encoder, **{"most": 20, "field": "clean"} | options)
    assert refusal.value.field == field
    return str(refusal.value)


def refused_token(text: str, encoder=ENCODER, suggestion: str | None = None) -> str:
    with pytest.raises(UserError) as refusal:
        single_token(text, encoder, field="target")
    assert (refusal.value.field, refusal.value.suggestion) == ("target", suggestion)
    return str(refusal.value)


def test_a_text_is_its_tokens():
    tokens = tokenize("Anna Lee!", ENCODER, most=20, field="clean")
    assert [piece.text for piece in tokens] == ["Anna", " Lee", "!"]
    assert [piece.id for piece in tokens] == ENCODER.encode("Anna Lee!")
    assert pieces("a\r\n\tb") == list("a\r\n\tb")


@pytest.mark.parametrize("text", ["", "\n\t  \n", "\u3000"])
def test_an_empty_or_blank_text_is_refused(text):
    assert refused(text) == "The clean text is empty: type a sentence."


def test_a_text_of_more_tokens_than_the_model_reads_is_refused():
    assert len(pieces("abcde", most=5)) == 5
    assert len(pieces(" Anna" * 20, most=20)) == 20  # however many characters they are
    assert refused("abcdef", most=5) == (
        "The clean text has 6 tokens and this model reads at most 5: shorten it."
    )


def test_a_pasted_book_is_refused_without_tokenizing_it():
    assert refused("word " * 200_000, NeverAsked(), most=1024) == (
        "The clean text has 1,000,000 characters, which cannot fit into the 1,024 tokens this"
        " model reads: shorten it."
    )
    assert refused_token("word " * 200_000, NeverAsked()) == (
        "The target has 1,000,000 characters, more than any token: type one token."
    )


@pytest.mark.parametrize(
    ("text", "place", "code"), [("a\0b", 2, "0000"), ("\x1b[", 1, "001B"), ("a\x85b", 2, "0085")]
)
def test_a_control_character_is_named_with_its_place(text, place, code):
    said = f"Character {place} of the {{}} is the control character U+{code}: delete it."
    assert refused(text) == said.format("clean text")
    assert refused_token(text) == said.format("target")


def test_half_of_a_surrogate_pair_is_refused():
    assert refused("ab\udc00").startswith(f"The clean text {HALF.format(3, 'DC00')}")
    assert refused_token("\ud83d").startswith(f"The target {HALF.format(1, 'D83D')}")


def test_bos_begins_the_text_and_counts():
    first, *_ = tokenize("ab", ENCODER, most=3, field="clean", bos=True)
    assert first == Token(ENCODER.encoder[END_OF_TEXT], END_OF_TEXT)
    assert pieces("ab", most=3, bos=True) == [END_OF_TEXT, "a", "b"]
    assert "has 4 tokens and this model reads at most 3" in refused("abc", most=3, bos=True)


def test_a_tokenizer_without_bos_says_so():
    bare = with_extras(bos=None)
    problem = refused("ab", bare, "bos", bos=True)
    assert problem == "This model has no <|endoftext|> token to begin with."


def test_a_tokenizer_that_begins_texts_itself_does_so_once():
    itself = with_extras(begins=(ENCODER.encoder["Anna"],))
    for bos in (False, True):
        found = tokenize("ab", itself, most=3, field="clean", bos=bos)
        assert [piece.text for piece in found] == ["Anna", "a", "b"]
    assert "has 4 tokens" in refused("abc", itself, most=3)
    assert single_token("a", itself, field="target").text == "a"


def test_another_token_than_the_end_of_text_may_begin_texts():
    first, *_ = tokenize("ab", with_extras(bos="Anna"), most=3, field="clean", bos=True)
    assert first.text == "Anna"


def test_a_special_token_that_was_typed_is_one_token_and_told():
    id = ENCODER.encoder[END_OF_TEXT]
    knows = with_extras(added=(AddedToken(END_OF_TEXT, id, normalized=False, special=True),))
    text = f"a{END_OF_TEXT}b {END_OF_TEXT}"
    found = tokenize(text, knows, most=9, field="clean")
    assert [piece.text for piece in found] == ["a", END_OF_TEXT, "b", " ", END_OF_TEXT]
    assert notes(text, knows) == (
        f"<|endoftext|> was read as one special token, number {id:,}, not as its characters.",
    )
    assert notes("a b", knows) == notes("\ud83d", knows) == ()
    assert single_token(END_OF_TEXT, knows, field="target") == Token(id, END_OF_TEXT)
    assert can_be_typed(token(id, knows), knows)


def test_an_added_word_is_no_special_token():
    assert notes("Anna", with_extras(added=(AddedToken("Anna", 3, normalized=True),))) == ()


def test_an_end_of_text_that_a_model_has_not_is_text_and_told():
    found = pieces(f"a {END_OF_TEXT} b")
    assert END_OF_TEXT not in found and "".join(found) == f"a {END_OF_TEXT} b"
    assert notes(f"a {END_OF_TEXT} b", ENCODER) == (
        "<|endoftext|> was read as its characters: this model has no such special token.",
    )


def test_characters_that_a_tokenizer_leaves_out_are_told_and_alone_are_refused():
    known = {token: id for token, id in ENCODER.encoder.items() if token not in ("é", "x", "Ã")}
    few = Encoder(known, [pair for pair in ENCODER.bpe_ranks if "x" not in "".join(pair)])
    found = tokenize("axbé x", few, most=9, field="clean")
    assert [piece.text for piece in found] == ["a", "b", "\\xa9", " "]
    assert notes("axbé x", few) == ("This model’s tokenizer has no token for x é: left out.",)
    assert refused("xx", few) == (
        "The clean text is empty to this model: its tokenizer knows none of the characters."
    )
    assert refused_token("x", few) == "The target x is no token of this model’s."


def test_a_token_of_other_characters_is_shown_and_cannot_be_typed():
    own = Encoder(ENCODER.encoder | {"▁own": 9999}, [*ENCODER.bpe_ranks])
    assert token(9999, own) == Token(9999, "▁own")
    assert not can_be_typed(token(9999, own), own)
    assert whole_words(own, "own") == ()


def test_one_token_is_taken_as_it_was_typed():
    assert single_token(" Lee", ENCODER, field="target") == Token(ENCODER.encoder["ĠLee"], " Lee")
    assert single_token("a", ENCODER, field="target").text == "a"


def test_a_target_that_is_not_one_token_is_refused_naming_the_pieces():
    assert refused_token("") == (
        "The target is empty: type one token, most often a word with a space before it."
    )
    assert refused_token(" Lee met") == (
        "The target must be one token, but ·Lee·met is 2: ·Lee | ·met."
        " Choose another word, or its first piece."
    )


def test_the_words_that_are_several_tokens_are_named_once():
    assert in_pieces("Anna Lee met Bob.", tiny_encoder()) == ()
    assert in_pieces("Anna Lou met Lou. Lou Max", tiny_encoder()) == (" Lou", " Max")


def test_a_missing_leading_space_is_noticed():
    assert "Lee is 3: L | e | e" in refused_token("Lee", suggestion=" Lee")
    assert leading_space("Anna", ENCODER) == " Anna"  # a token itself, and another with a space


@pytest.mark.parametrize("text", ["", "\nLee", "Leex", "\ud83d", "x" * 1_000_000])
def test_no_leading_space_is_offered_where_it_would_not_help(text):
    assert leading_space(text, ENCODER) is None
    assert leading_space(" ", tiny_encoder(words=("  ",))) is None  # nor a second one
    assert leading_space("Anna", with_extras(prefix_space=True)) is None  # is read with one


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" Jones\n\t", "·Jones⏎⇥"),
        ("\0\x1b\x7f\x85\u00a0", r"\x00\x1b\x7f\x85\xa0"),
        ("\u200b\u202e\ufeff\u2028", r"\u200b\u202e\ufeff\u2028"),
        ("e\u0301<b>$x$**🙂日本שלום&amp;`--", "e\u0301<b>$x$**🙂日本שלום&amp;`--"),
    ],
)
def test_what_would_not_be_seen_is_written_out_and_all_else_literal(text, shown):
    assert visible(text) == shown


def test_bytes_that_are_no_character_are_shown_as_bytes():
    assert [token(id, ENCODER).label for id in ENCODER.encode("é")] == [r"\xc3", r"\xa9"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_can_be_seen(text):
    shown = visible(text)
    assert not any(char.isspace() for char in shown)
    assert shown.isprintable()
    assert (shown == "") == (text == "")


@pytest.mark.parametrize(
    ("clean", "corrupted", "position"),
    [("abc", "abd", 2), ("abc", "xbc", 0), ("ab", "abc", 2), ("abc", "ab", 2), ("ab", "ab", 2)],
)
def test_texts_part_where_they_first_differ_or_one_ends(clean, corrupted, position):
    assert part_at(split(clean, ENCODER), split(corrupted, ENCODER)) == position
