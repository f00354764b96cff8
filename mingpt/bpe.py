"""GPT-2's tokenizer: byte-level byte-pair encoding, exact for every Unicode string.

Added tokens, such as an end of text, are found in a text first. What lies between them is cut into
words, numbers, punctuation and runs of white space; the UTF-8 bytes of each such piece are written
as visible characters, one for each byte; neighbouring symbols are then joined, always the pair that
was learned first, until no learned pair is left. What the files of a folder say is the business of
`mingpt.tokenizer_files`.

Source: Sennrich et al. 2016 (BPE), Radford et al. 2019 (on bytes).
"""

import heapq
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from mingpt import hub, tokenizer_files
from mingpt.tokenizer_files import END_OF_TEXT, AddedToken, Extras, TokenizerError

if TYPE_CHECKING:
    import torch

__all__ = ["END_OF_TEXT", "BPETokenizer", "Encoder", "TokenizerError", "load_encoder"]

_SURROGATE = regex.compile(r"[\ud800-\udfff]")
_SPACES, _OF_A_WORD = regex.compile(r"\s++"), regex.compile(r"\w")


@cache
def bytes_to_unicode() -> dict[int, str]:
    """Byte -> the visible character that stands for it in `vocab.json`.

    Bytes that print stand for themselves; the other 68 take the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + index) for index, byte in enumerate(hidden)
    }


class Encoder:
    """Text to token ids and back.

    `encoder` maps a token, written in the alphabet of `bytes_to_unicode`, to its id;
    `bpe_merges` are the pairs to join, the first learned first. A token with other characters
    stands for them. An added token for which the model has no row is known, but has no id.
    """

    def __init__(
        self,
        encoder: dict[str, int],
        bpe_merges: list[tuple[str, str]],
        extras: Extras = Extras(),  # noqa: B008  it is frozen
    ):
        self.byte_encoder = bytes_to_unicode()
        self.byte_decoder = {char: byte for byte, char in self.byte_encoder.items()}
        self.lacking = self.byte_decoder.keys() - encoder.keys()  # bytes that no text keeps
        self.extras = extras
        self.added = {token.content: token for token in extras.added}
        kept = {content: token.id for content, token in self.added.items() if self._has_row(token)}
        self.encoder = encoder | kept
        self.decoder = {id: token for token, id in self.encoder.items()}
        self.special_ids = {token.id for token in extras.added if token.special}
        self.bos = self.encoder.get(extras.bos)
        self._added_patterns = [
            _any_of([token.content for token in extras.added if token.normalized == normalized])
            for normalized in (False, True)  # in this order
        ]
        self.bpe_ranks = {pair: rank for rank, pair in enumerate(bpe_merges)}
        # Contractions; then letters, digits or other signs, each with a space before it if
        # there is one; then white space, leaving its last space to the word that follows.
        self.pat = regex.compile(
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
        )
        self.longest_token = max(map(len, self.encoder))  # in bytes
        self._ids = lru_cache(maxsize=1 << 16)(self._ids_of)

    def bpe(self, token: str) -> str:
        """Join the symbols of one piece; returns the resulting tokens with spaces between.

        A heap of joinable neighbours makes this n log n: a pasted "word" of a hundred thousand
        letters takes a moment, not an hour. It is exact, since a pair that a join creates was
        learned after the pair that was joined, so it never comes before what is in the heap.
        """
        # None: joined into an earlier one.
        symbols: list[str | None] = [char for char in token if char not in self.lacking]
        before = list(range(-1, len(symbols) - 1))
        after = list(range(1, len(symbols) + 1))
        heap: list[tuple[int, int, str, str]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < len(symbols):
                pair = (symbols[left], symbols[right])
                if pair in self.bpe_ranks:
                    heapq.heappush(heap, (self.bpe_ranks[pair], left, *pair))

        for left in range(len(symbols) - 1):
            offer(left, left + 1)
        while heap:
            _, left, first, second = heapq.heappop(heap)
            right = after[left]
            if symbols[left] != first or right == len(symbols) or symbols[right] != second:
                continue  # one of the two has been joined to another since
            symbols[left], symbols[right] = first + second, None
            after[left] = after[right]
            if after[left] < len(symbols):
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return " ".join(symbol for symbol in symbols if symbol is not None)

    def segments(self, text: str) -> Iterator[tuple[int | None, str]]:
        """The added tokens of a text by their ids, each with what it takes up; with None, what lies
        between them. Raises TokenizerError for a text that is none, and for a token that the model
        cannot read."""
        if surrogate := _SURROGATE.search(text):
            raise TokenizerError(
                f"character {surrogate.start() + 1} of the text is half of a surrogate pair"
                f" (U+{ord(surrogate[0]):04X}), which no encoding has: type it again."
            )
        first, second = self._added_patterns
        for id, part in self._split(text, first):
            yield from self._split(part, second) if id is None else [(id, part)]

    def _split(self, text: str, pattern: regex.Pattern | None) -> Iterator[tuple[int | None, str]]:
        """`text` cut at the added tokens of `pattern`, with what white space they take."""
        start = 0
        for match in pattern.finditer(text) if pattern else ():
            token, (left, right) = self.added[match[0]], match.span()
            if token.single_word and (
                (left and _OF_A_WORD.match(text, left - 1)) or _OF_A_WORD.match(text, right)
            ):
                continue
            if not self._has_row(token):
                raise TokenizerError(
                    f"{token.content} is a token of its own, for which this model has no embedding:"
                    " take it out."
                )
            if token.lstrip:
                while left > start and _SPACES.match(text, left - 1, left):
                    left -= 1
                left = max(left, start)  # the token before may have taken its beginning
            if token.rstrip and (spaces := _SPACES.match(text, right)):
                right = spaces.end()
            if start < left:
                yield None, text[start:left]
            if left < right:
                yield token.id, text[left:right]
            start = right
        if start < len(text):
            yield None, text[start:]

    def _has_row(self, token: AddedToken) -> bool:
        return self.extras.rows is None or token.id < self.extras.rows

    def _cut(self, segment: str) -> list[str]:
        """What lies between added tokens, cut up by `pat`."""
        spaced = self.extras.prefix_space and segment[0] != " "
        return self.pat.findall(f" {segment}" if spaced else segment)

    def _written(self, piece: str) -> str:
        """A piece in the byte alphabet."""
        return "".join(map(self.byte_encoder.__getitem__, piece.encode("utf-8")))

    def _ids_of(self, piece: str) -> tuple[int, ...]:
        return tuple(self.encoder[token] for token in self.bpe(self._written(piece)).split())

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without those that the tokenizer puts before every text."""
        ids = []
        for id, segment in self.segments(text):
            if id is None:
                ids += [id for piece in self._cut(segment) for id in self._ids(piece)]
            else:
                ids.append(id)
        return ids

    def lost(self, text: str) -> tuple[str, ...]:
        """The characters of `text` of which a byte is no token and is left out, each once."""
        chars = dict.fromkeys(text) if self.lacking else ()
        return tuple(char for char in chars if not self.lacking.isdisjoint(self._written(char)))

    @property
    def keeps_texts(self) -> bool:
        """Whether every text comes back from its tokens as it was."""
        strips = any(token.lstrip or token.rstrip for token in self.extras.added)
        return not (self.lacking or self.extras.prefix_space or strips)

    def encode_and_show_work(self, text: str) -> dict:
        """`encode`, with every intermediate step of every piece."""
        parts = []
        pieces = (
            (id, piece)
            for id, segment in self.segments(text)
            for piece in (self._cut(segment) if id is None else [segment])
        )
        for id, raw in pieces:
            ids = list(self._ids(raw)) if id is None else [id]
            parts.append(
                {
                    "token": raw,
                    "token_bytes": raw.encode("utf-8"),
                    "token_translated": self._written(raw) if id is None else self.decoder[id],
                    "token_merged": [self.decoder[id] for id in ids],
                    "token_ix": ids,
                }
            )
        return {
            "bpe_idx": [id for part in parts for id in part["token_ix"]],
            "tokens": [part["token"] for part in parts],
            "parts": parts,
        }

    def token_bytes(self, id: int) -> bytes:
        """The bytes that token `id` stands for; they need not be whole characters."""
        token = self.decoder[id]
        # What joining makes is in the byte alphabet, be it an added token besides.
        if token in self.added and self.bpe(token) != token:
            return token.encode("utf-8", errors="surrogatepass")
        try:
            return bytes(map(self.byte_decoder.__getitem__, token))
        except KeyError:
            return token.encode("utf-8", errors="surrogatepass")

    def decode(self, bpe_idx: list[int]) -> str:
        """Text of token ids; bytes that are no UTF-8 come out as U+FFFD."""
        return b"".join(map(self.token_bytes, bpe_idx)).decode("utf-8", errors="replace")


def _any_of(contents: list[str]) -> regex.Pattern | None:
    """Finds the longest of `contents` that begins somewhere; None if there are none."""
    longest_first = sorted(contents, key=len, reverse=True)
    return regex.compile("|".join(map(regex.escape, longest_first))) if contents else None


def load_encoder(folder: Path) -> Encoder:
    """The tokenizer in `folder`, as `mingpt.tokenizer_files` reads it. Raises TokenizerError if it
    is missing, damaged or of another kind."""
    return Encoder(*tokenizer_files.read(folder, bytes_to_unicode().values()))


@cache
def get_encoder() -> Encoder:
    """GPT-2's own tokenizer, downloaded once (see `mingpt.hub`)."""
    return load_encoder(hub.fetch_tokenizer())


class BPETokenizer:
    """A tokenizer that speaks in torch tensors: GPT-2's, or that of a `folder`."""

    def __init__(self, folder: str | Path | None = None):
        self.encoder = get_encoder() if folder is None else load_encoder(Path(folder))

    def __call__(self, text: str, return_tensors: str = "pt") -> "torch.Tensor":
        """Token ids of one text, (1, T), with those that the tokenizer puts before every text.
        `return_tensors` is "pt" or an error, as in minGPT."""
        if return_tensors != "pt" or not isinstance(text, str):
            raise ValueError("BPETokenizer encodes one string into a torch tensor ('pt')")
        import torch  # only here: it takes a second, and nothing else of a tokenizer needs it

        ids = [*self.encoder.extras.begins, *self.encoder.encode(text)]
        return torch.tensor([ids], dtype=torch.long)

    def decode(self, idx: "torch.Tensor") -> str:
        """Text of a 1-D tensor of token ids, (T,)."""
        if idx.dim() != 1:
            raise ValueError(f"decode takes one sequence of ids, got shape {tuple(idx.shape)}")
        return self.encoder.decode(idx.tolist())
