"""Trains the bundled model's tokenizer: byte-level BPE in which every word is one piece.

The result is an ordinary GPT-2 tokenizer, read and run by `mingpt.bpe`; only its merges are ours.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

from core.teaching.language import documents
from mingpt.bpe import END_OF_TEXT, Encoder, bytes_to_unicode

SAMPLE = 20_000  # documents: enough for every word, at the start of a text and inside one


@cache
def train_tokenizer(seed: int) -> Encoder:
    """The tokenizer of the language: bytes, then merges, then `<|endoftext|>` as the last id."""
    texts = islice(documents(random.Random(seed)), SAMPLE)
    byte_tokens = list(bytes_to_unicode().values())
    bytes_only = Encoder({token: id for id, token in enumerate(byte_tokens)}, [])
    merges = learn_merges(count_words(texts, bytes_only))
    tokens = [*byte_tokens, *(a + b for a, b in merges), END_OF_TEXT]
    return Encoder({token: id for id, token in enumerate(tokens)}, merges)


def count_words(texts: Iterable[str], encoder: Encoder) -> Counter[str]:
    """How often each word occurs in `texts`, written in `encoder`'s byte alphabet, with the space
    before it as part of the word."""
    words = Counter(word for text in texts for word in encoder.pat.findall(text))
    return Counter(
        {
            "".join(encoder.byte_encoder[byte] for byte in word.encode()): count
            for word, count in words.items()
        }
    )


def learn_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Merge the most frequent pair of neighbours, again and again, until every word is one piece.

    Ties go to the pair that sorts first, so that equal input gives equal merges.
    """
    pieces = {word: tuple(word) for word in words}
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = {word: merge(parts, best) for word, parts in pieces.items()}


def merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`parts` with every occurrence of `pair`, from the left, joined to one."""
    joined: list[str] = []
    i = 0
    while i < len(parts):
        width = 2 if parts[i : i + 2] == pair else 1
        joined.append("".join(parts[i : i + width]))
        i += width
    return tuple(joined)


def save_tokenizer(encoder: Encoder, folder: Path) -> None:
    """Write `vocab.json` and `merges.txt` as GPT-2's are written."""
    merges = [" ".join(pair) for pair in encoder.bpe_ranks]
    (folder / "vocab.json").write_text(
        json.dumps(encoder.encoder, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8"
    )
