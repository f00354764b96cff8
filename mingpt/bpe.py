"""GPT-2's tokenizer: byte-level byte-pair encoding, exact for every Unicode string.

A text is cut into words, numbers, punctuation and runs of white space; the UTF-8 bytes of each
such piece are written as visible characters, one for each byte; neighbouring symbols are then
joined, always the pair that was learned first, until no learned pair is left.

Source: Sennrich et al. 2016 (BPE), Radford et al. 2019 (on bytes).
"""

import heapq
import json
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from mingpt import hub

if TYPE_CHECKING:
    import torch

END_OF_TEXT = "<|endoftext|>"

_SURROGATE = regex.compile(r"[\ud800-\udfff]")


class TokenizerError(ValueError):
    """A folder that does not hold a tokenizer, or a text that no tokenizer can encode."""


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
    `bpe_merges` are the pairs to join, the first learned first.
    """

    def __init__(self, encoder: dict[str, int], bpe_merges: list[tuple[str, str]]):
        self.byte_encoder = bytes_to_unicode()
        self.byte_decoder = {char: byte for byte, char in self.byte_encoder.items()}
        self.encoder = encoder
        self.decoder = {id: token for token, id in encoder.items()}
        self.bpe_ranks = {pair: rank for rank, pair in enumerate(bpe_merges)}
        # Contractions; then letters, digits or other signs, each with a space before it if
        # there is one; then white space, leaving its last space to the word that follows.
        self.pat = regex.compile(
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
        )
        self.longest_token = max(map(len, encoder))  # in bytes
        self.bpe = lru_cache(maxsize=1 << 16)(self._bpe)

    def _bpe(self, token: str) -> str:
        """Join the symbols of one piece; returns the resulting tokens with spaces between.

        A heap of joinable neighbours makes this n log n: a pasted "word" of a hundred thousand
        letters takes a moment, not an hour. It is exact, since a pair that a join creates was
        learned after the pair that was joined, so it never comes before what is in the heap.
        """
        symbols: list[str | None] = list(token)  # None: joined into an earlier one
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

    def _pieces(self, text: str) -> list[str]:
        """`text` cut up by `pat`, each piece written in the byte alphabet."""
        if surrogate := _SURROGATE.search(text):
            raise TokenizerError(
                f"character {surrogate.start() + 1} of the text is half of a surrogate pair"
                f" (U+{ord(surrogate[0]):04X}), which no encoding has: type it again."
            )
        return [
            "".join(map(self.byte_encoder.__getitem__, piece.encode("utf-8")))
            for piece in self.pat.findall(text)
        ]

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`. `<|endoftext|>` in it is text like any other."""
        return [
            self.encoder[token] for piece in self._pieces(text) for token in self.bpe(piece).split()
        ]

    def encode_and_show_work(self, text: str) -> dict:
        """`encode`, with every intermediate step of every piece."""
        parts = []
        for raw, piece in zip(self.pat.findall(text), self._pieces(text), strict=True):
            tokens = self.bpe(piece).split()
            parts.append(
                {
                    "token": raw,
                    "token_bytes": raw.encode("utf-8"),
                    "token_translated": piece,
                    "token_merged": tokens,
                    "token_ix": [self.encoder[token] for token in tokens],
                }
            )
        return {
            "bpe_idx": [id for part in parts for id in part["token_ix"]],
            "tokens": [part["token"] for part in parts],
            "parts": parts,
        }

    def token_bytes(self, id: int) -> bytes:
        """The bytes that token `id` stands for; they need not be whole characters."""
        return bytes(map(self.byte_decoder.__getitem__, self.decoder[id]))

    def decode(self, bpe_idx: list[int]) -> str:
        """Text of token ids; bytes that are no UTF-8 come out as U+FFFD."""
        return b"".join(map(self.token_bytes, bpe_idx)).decode("utf-8", errors="replace")


def load_encoder(folder: Path) -> Encoder:
    """The tokenizer in `folder`: `vocab.json` and `merges.txt`, or OpenAI's names for the two,
    `encoder.json` and `vocab.bpe`. Raises TokenizerError if they are missing or damaged."""
    for vocabulary, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if all(os.path.isfile(folder / name) for name in (vocabulary, merges)):
            return _read_encoder(folder / vocabulary, folder / merges)
    raise TokenizerError(
        f"{folder} holds no tokenizer: it needs vocab.json and merges.txt"
        " (or encoder.json and vocab.bpe)."
    )


def _read_encoder(vocabulary: Path, merges: Path) -> Encoder:
    path = vocabulary
    try:
        encoder = json.loads(path.read_text(encoding="utf-8"))
        path = merges
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
        if lines and lines[0].startswith("#version"):
            del lines[0]
        pairs = [tuple(line.split(" ")) for line in lines]
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}.") from error
    if not isinstance(encoder, dict) or not all(
        isinstance(id, int) and 0 <= id < 2**31 for id in encoder.values()
    ):
        raise TokenizerError(f"{vocabulary} is no vocabulary: it should map tokens to their ids.")
    if missing := [char for char in bytes_to_unicode().values() if char not in encoder]:
        raise TokenizerError(
            f"{vocabulary} lacks {len(missing)} of the 256 single bytes, without which it cannot"
            " encode every text."
        )
    if any(len(pair) != 2 or "".join(pair) not in encoder for pair in pairs):
        raise TokenizerError(f"{merges} does not belong to {vocabulary}: copy both again.")
    return Encoder(encoder, pairs)


@cache
def get_encoder() -> Encoder:
    """GPT-2's own tokenizer, downloaded once (see `mingpt.hub`)."""
    return load_encoder(hub.fetch_tokenizer())


class BPETokenizer:
    """A tokenizer that speaks in torch tensors: GPT-2's, or that of a `folder`."""

    def __init__(self, folder: str | Path | None = None):
        self.encoder = get_encoder() if folder is None else load_encoder(Path(folder))

    def __call__(self, text: str, return_tensors: str = "pt") -> "torch.Tensor":
        """Token ids of one text, (1, T). `return_tensors` is "pt" or an error, as in minGPT."""
        if return_tensors != "pt" or not isinstance(text, str):
            raise ValueError("BPETokenizer encodes one string into a torch tensor ('pt')")
        import torch  # only here: it takes a second, and nothing else of a tokenizer needs it

        return torch.tensor([self.encoder.encode(text)], dtype=torch.long)

    def decode(self, idx: "torch.Tensor") -> str:
        """Text of a 1-D tensor of token ids, (T,)."""
        if idx.dim() != 1:
            raise ValueError(f"decode takes one sequence of ids, got shape {tuple(idx.shape)}")
        return self.encoder.decode(idx.tolist())
