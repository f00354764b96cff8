"""Text -> tokens, and how a token is shown to people.

Every text mistake that needs only one text to be seen is caught here. It knows tokenizers, not
models; what two texts must have in common is in `core.question.pair`.
"""

import unicodedata
from dataclasses import dataclass

from core.errors import UserError
from mingpt.bpe import END_OF_TEXT, Encoder, TokenizerError

_SHOWN_AS = {" ": "·", "\n": "⏎", "\t": "⇥"}
_TYPED_AS_CONTROL = {"\n", "\t", "\r"}  # the control characters that ordinary text has


@dataclass(frozen=True)
class Token:
    """One token: its id and its text; bytes that are no whole character stand as `\\xNN`."""

    id: int
    text: str

    @property
    def label(self) -> str:
        """The text made visible: see `visible`."""
        return visible(self.text)


def visible(text: str) -> str:
    """`text` with every character to be seen: spaces as ·, newlines as ⏎, tabs as ⇥, and what
    prints nothing or would turn the direction of writing as its escape."""
    return "".join(_SHOWN_AS.get(char) or _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if unicodedata.category(char)[0] not in "CZ":  # controls, formats, surrogates; separators
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"


def token(id: int, encoder: Encoder) -> Token:
    """A vocabulary may be padded with ids that stand for no token."""
    if id not in encoder.decoder:
        return Token(id, f"<unused {id}>")
    return Token(id, encoder.token_bytes(id).decode("utf-8", errors="backslashreplace"))


def split(text: str, encoder: Encoder) -> tuple[Token, ...]:
    """The tokens of any valid text, without a check of its length."""
    return tuple(token(id, encoder) for id in encoder.encode(text))


def tokenize(
    text: str, encoder: Encoder, *, most: int, field: str, bos: bool = False
) -> tuple[Token, ...]:
    """The tokens of a text a model is to read, with those that its tokenizer puts before every
    text; where it puts none and `bos` is asked for, with the token that its texts may begin with.

    `most` is how many tokens the model reads, `field` what to call the text. Raises UserError for
    a blank text, one with control characters or broken encoding, and one that is too long.
    """
    if not text.strip():
        raise UserError(f"The {field} text is empty: type a sentence.", field)
    # No token is longer than the longest one, so this needs no tokenizing of a pasted book.
    if len(text) > most * encoder.longest_token:
        raise UserError(
            f"The {field} text has {len(text):,} characters, which cannot fit into the {most:,}"
            " tokens this model reads: shorten it.",
            field,
        )
    tokens = _split_checked(text, encoder, f"{field} text", field)
    if not tokens:
        raise UserError(
            f"The {field} text is empty to this model: its tokenizer knows none of the characters.",
            field,
        )
    before = encoder.extras.begins
    if bos and not before:
        if encoder.bos is None:
            raise UserError(f"This model has no {END_OF_TEXT} token to begin with.", "bos")
        before = (encoder.bos,)
    tokens = (*(token(id, encoder) for id in before), *tokens)
    if len(tokens) > most:
        raise UserError(
            f"The {field} text has {len(tokens):,} tokens and this model reads at most {most:,}:"
            " shorten it.",
            field,
        )
    return tokens


def count_before(encoder: Encoder, bos: bool) -> int:
    """How many tokens `tokenize` puts before a text."""
    return len(encoder.extras.begins) or int(bos)


def notes(text: str, encoder: Encoder) -> tuple[str, ...]:
    """What of a text is read otherwise than as its characters, or not at all, in sentences; nothing
    of a text that cannot be read."""
    try:
        segments = list(encoder.segments(text))
    except TokenizerError:
        return ()
    special = dict.fromkeys(id for id, _ in segments if id in encoder.special_ids)
    found = [
        f"{visible(token(id, encoder).text)} was read as one special token, number {id:,}, not as"
        " its characters."
        for id in special
    ]
    if any(END_OF_TEXT in segment for id, segment in segments if id is None):
        found.append(
            f"{END_OF_TEXT} was read as its characters: this model has no such special token."
        )
    if lost := encoder.lost(text):
        shown = " ".join(map(visible, lost))
        found.append(f"This model’s tokenizer has no token for {shown}: left out.")
    return tuple(found)


def _split_checked(text: str, encoder: Encoder, what: str, field: str) -> tuple[Token, ...]:
    """The tokens of `text`, which messages call `what`; UserError for what no text should hold."""
    for position, char in enumerate(text, start=1):
        if unicodedata.category(char) == "Cc" and char not in _TYPED_AS_CONTROL:
            raise UserError(
                f"Character {position:,} of the {what} is the control character U+{ord(char):04X}:"
                " delete it.",
                field,
            )
    try:
        return split(text, encoder)
    except TokenizerError as error:
        raise UserError(f"The {what} cannot be read: {error}", field) from error


def single_token(text: str, encoder: Encoder, *, field: str) -> Token:
    """The one token that `text` is. Raises UserError, naming the pieces, if it is none or many."""
    if not text:
        raise UserError(
            f"The {field} is empty: type one token, most often a word with a space before it.",
            field,
        )
    if len(text) > encoder.longest_token:
        raise UserError(
            f"The {field} has {len(text):,} characters, more than any token: type one token.", field
        )
    tokens = _split_checked(text, encoder, field, field)
    if not tokens:
        raise UserError(f"The {field} {visible(text)} is no token of this model’s.", field)
    if len(tokens) > 1:
        pieces = " | ".join(piece.label for piece in tokens)
        spaced = with_leading_space(text, encoder)
        fix = "Choose another word, or its first piece."
        if spaced:
            fix = f"With a space before it, it is one: {visible(spaced)}."
        raise UserError(
            f"The {field} must be one token, but {visible(text)} is {len(tokens)}: {pieces}. {fix}",
            field,
            suggestion=spaced,
        )
    return tokens[0]


def in_pieces(text: str, encoder: Encoder) -> tuple[str, ...]:
    """The words of a text that are several tokens, each once: of a vocabulary that is closed, those
    it does not know."""
    parts = encoder.encode_and_show_work(text)["parts"]
    return tuple(dict.fromkeys(part["token"] for part in parts if len(part["token_ix"]) > 1))


def can_be_typed(token: Token, encoder: Encoder) -> bool:
    """Whether its text, typed, is this token: that of part of a character is not."""
    try:
        return single_token(token.text, encoder, field="token").id == token.id
    except UserError:
        return False


def with_leading_space(text: str, encoder: Encoder) -> str | None:
    """`text` with a space before it, where that is a token of its own and was not typed: a word
    in the middle of a text is one token with its space, and without it another, or several."""
    if not text or text[0].isspace() or len(text) >= encoder.longest_token:
        return None
    try:
        spaced = encoder.encode(" " + text)
        return " " + text if len(spaced) == 1 and spaced != encoder.encode(text) else None
    except TokenizerError:
        return None


def part_at(clean: tuple[Token, ...], corrupted: tuple[Token, ...]) -> int:
    """The first position at which two texts differ; the shorter length if one begins the other."""
    pairs = zip(clean, corrupted, strict=False)
    same = (a.id == b.id for a, b in pairs)
    return next((i for i, equal in enumerate(same) if not equal), min(len(clean), len(corrupted)))


def whole_words(encoder: Encoder, part: str = "") -> tuple[Token, ...]:
    """The tokens that are a space and a word of letters, with `part` in it: words that can take
    each other's place within a text without changing its number of tokens."""
    part = part.strip().casefold()
    words = (token(id, encoder) for id in encoder.decoder)
    found = [
        word
        for word in words
        if word.text[:1] == " " and word.text[1:].isalpha() and part in word.text.casefold()
    ]
    return tuple(sorted(found, key=lambda word: (len(word.text), word.text.casefold(), word.text)))
