"""The vocabulary and the merges of a tokenizer, out of its files.

They are in `vocab.json` and `merges.txt` (OpenAI called them `encoder.json` and `vocab.bpe`) or in
`tokenizer.json`, as the library `tokenizers` writes it. What only other algorithms can do is
refused, and so is what is damaged.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from mingpt import files
from mingpt.files import Unusable

WHOLE = "tokenizer.json"
PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))

_UNSUPPORTED = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)
# Tokens of a vocabulary that need not have been learned: the bytes, and what was put there by hand.
_MOST_UNLEARNED = 10_000
_LONGEST_LEARNED = 256  # characters


class TokenizerError(Unusable):
    """A folder that does not hold a tokenizer, or a text that no tokenizer can encode."""


Merges = list[tuple[str, str]]


def read_object(path: Path) -> dict | None:
    """What a JSON file holds; None if there is none."""
    try:
        found = files.read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {files.reason(error)}.") from error
    if not isinstance(found, dict):
        raise TokenizerError(f"{path} is not laid out as a tokenizer's file: it is no object.")
    return found


@contextmanager
def laid_out(path: Path) -> Iterator[None]:
    """Turns what is raised by a file that is laid out otherwise into an error that names it."""
    try:
        yield
    except TokenizerError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TokenizerError(f"{path} is not laid out as a tokenizer's file ({reason}).") from error


def id_of(value: Any) -> int:
    """An id as a file has it. Raises TypeError for what is none."""
    if type(value) is not int or not 0 <= value < 2**31:  # nor is true
        raise TypeError(f"{brief(value)} is no id")
    return value


def pair_in(folder: Path) -> tuple[str, str] | None:
    """The names of the two files, if they are there."""
    return next((p for p in PAIRS if all(os.path.lexists(folder / name) for name in p)), None)


def read_pair(folder: Path, names: tuple[str, str]) -> tuple[dict[str, int], Merges]:
    vocabulary, merges = (folder / name for name in names)
    tokens, pairs = _parsed_pair(folder, names)
    _check_vocabulary(vocabulary, tokens)
    _check_merges(f"{merges} does not belong to {vocabulary}: copy both again.", pairs, tokens)
    return tokens, pairs


def _parsed_pair(folder: Path, names: tuple[str, str]) -> tuple[dict[str, int], Merges]:
    vocabulary, merges = (folder / name for name in names)
    path = vocabulary
    try:
        tokens = files.read_json(path)
        path = merges
        lines = [line for line in re.split("\r\n?|\n", files.read(path).decode("utf-8")) if line]
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {files.reason(error)}.") from error
    if lines and lines[0].startswith("#version"):
        del lines[0]
    return tokens, [tuple(line.split(" ")) for line in lines]


def read_whole(path: Path, whole: dict, alphabet: Collection[str]) -> tuple[dict[str, int], Merges]:
    """The vocabulary and merges of `tokenizer.json`, if it is byte-level BPE and nothing else."""
    model, cut = whole["model"], whole.get("pre_tokenizer") or {}
    if normalizer := whole.get("normalizer"):
        raise unsupported(path, f"the normalizer {_named(normalizer)}")
    if cut.get("type") != "ByteLevel":
        raise unsupported(path, f"the pre-tokenizer {_named(cut)}")
    if not cut.get("use_regex", True):
        raise unsupported(path, "the pre-tokenizer ByteLevel with use_regex = false")
    if model.get("type", "BPE") != "BPE":
        raise unsupported(path, f"the model {_named(model)}")
    for key in _UNSUPPORTED:
        if model.get(key):
            raise unsupported(path, f"{key} = {brief(model[key])}")
    vocabulary = model["vocab"]
    _check_vocabulary(path, vocabulary)
    if model.get("unk_token") and not vocabulary.keys() >= set(alphabet):
        raise unsupported(path, f"unk_token = {brief(model['unk_token'])} for bytes it lacks")
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    _check_merges(f"{path} has merges that make no token of its vocabulary.", merges, vocabulary)
    return vocabulary, merges


def _named(part: dict) -> str:
    """The type of a part of `tokenizer.json`, with the types of the parts that it has itself."""
    inner = next((part[key] for key in part if isinstance(part[key], list)), [])
    inner = [_named(one) for one in inner if isinstance(one, dict) and "type" in one]
    return f"{part.get('type', 'none')}" + (f" of {', '.join(inner)}" if inner else "")


def unsupported(path: Path, what: str) -> TokenizerError:
    return TokenizerError(f"{path} asks for {what}; only GPT-2's byte-level BPE is read here.")


def _check_merges(says: str, merges: Merges, vocabulary: dict[str, int]) -> None:
    try:
        fit = all({a, b, a + b} <= vocabulary.keys() for a, b in merges)
    except ValueError:  # not two
        fit = False
    if not fit:
        raise TokenizerError(says)


def check_complete(
    folder: Path,
    names: tuple[str, str],
    vocabulary: dict[str, int],
    merges: Merges,
    added: Collection[str],
) -> None:
    """Refuse merges that were cut short: a token of the vocabulary that could be learned, being two
    others, is made by none of them. A token that is `added` is not learned."""
    unmade = vocabulary.keys() - {a + b for a, b in merges} - added
    learned = next((token for token in unmade if _may_be_learned(token, vocabulary)), None)
    if learned is None and len(unmade) > _MOST_UNLEARNED:
        learned = next(iter(unmade))
    twice = next((pair for pair, times in Counter(merges).items() if times > 1), None)
    if learned or twice:
        what = f"no merge makes {brief(learned)}" if learned else f"{brief(twice)} is there twice"
        raise TokenizerError(
            f"{folder / names[1]} is cut short, or not of {names[0]}: {what}. Copy both again."
        )


def _may_be_learned(token: str, vocabulary: dict[str, int]) -> bool:
    cuts = range(1, len(token) if len(token) <= _LONGEST_LEARNED else 0)
    return any(token[:at] in vocabulary and token[at:] in vocabulary for at in cuts)


def _check_vocabulary(path: Path, vocabulary: object) -> None:
    ids = vocabulary.values() if isinstance(vocabulary, dict) else ()
    if set(map(type, ids)) != {int} or min(ids) < 0 or max(ids) >= 2**31:
        raise TokenizerError(f"{path} is no vocabulary: it should map tokens to their ids.")
    if len(set(ids)) < len(vocabulary):
        raise TokenizerError(f"{path} gives one id to two tokens: copy it again.")


def check_same(
    folder: Path, names: tuple[str, str], vocabulary: dict[str, int], merges: Merges
) -> None:
    """Refuse a `tokenizer.json` beside the two files of another tokenizer: which of them was meant
    cannot be known. Either may lack tokens that are added."""
    others, other_merges = _parsed_pair(folder, names)
    _check_vocabulary(folder / names[0], others)
    differing = others.items() - vocabulary.items()  # in a moment, of fifty thousand
    same = all(token not in vocabulary for token, _ in differing)
    if not same or merges != other_merges:
        name = names[1] if same else names[0]
        raise TokenizerError(
            f"{folder / WHOLE} and {name} are of two tokenizers: remove what is not the model's"
            " from the folder."
        )
