"""What the files of a folder say about its tokenizer, and which of them is right.

A tokenizer is `tokenizer.json`, as the library `tokenizers` writes it, or `vocab.json` and
`merges.txt` (OpenAI called them `encoder.json` and `vocab.bpe`). Beside them
`tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` may name further tokens
and switches. Where several files speak of one thing, the one that Hugging Face's AutoTokenizer
follows is followed; where they contradict each other so that a text would have other ids in another
reader, the folder is refused, and so is what only other algorithms can do.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief

from mingpt import vocabulary as learned
from mingpt.added_tokens import (
    ADDED,
    END_OF_TEXT,
    GPT2,
    SETTINGS,
    SPECIAL,
    AddedToken,
    added_tokens,
)
from mingpt.vocabulary import (
    WHOLE,
    Merges,
    TokenizerError,
    id_of,
    laid_out,
    read_object,
    unsupported,
)

_ROWS = 50_257  # of a model whose config.json does not say
# Whichever of them a repository has.
FILES = (WHOLE, *learned.PAIRS[0], SETTINGS, SPECIAL, ADDED)

_AS_WRITTEN = ("PreTrainedTokenizer", "TokenizersBackend")  # classes beside GPT2, as said there
_UNSUPPORTED = ("auto_map", "fast_tokenizer_files", "split_special_tokens")


@dataclass(frozen=True)
class Extras:
    """What a tokenizer has besides its vocabulary and merges."""

    added: tuple[AddedToken, ...] = ()
    bos: str | None = END_OF_TEXT  # the token that may begin a text
    begins: tuple[int, ...] = ()  # ids that the tokenizer itself puts before every text
    prefix_space: bool = False  # puts a space before a text, and after an added token
    rows: int | None = None  # how many tokens the model has embeddings for, where it is known
    notes: tuple[str, ...] = ()  # what of the files is not followed, as sentences


def read(folder: Path, alphabet: Collection[str]) -> tuple[dict[str, int], Merges, Extras]:
    """The vocabulary (token -> id), the merges, the first learned first, and the extras of the
    tokenizer in `folder`. `alphabet` are the characters that stand for the 256 bytes.

    Raises TokenizerError, naming the file, for what is missing, damaged or cannot be followed.
    """
    settings, whole = read_object(folder / SETTINGS) or {}, read_object(folder / WHOLE)
    config = _config(folder)
    kind = _kind(folder, settings, config)
    _check_settings(folder / SETTINGS, settings, alone=whole is None)
    pair = learned.pair_in(folder)
    if whole is not None:
        with laid_out(folder / WHOLE):
            vocabulary, merges = learned.read_whole(folder / WHOLE, whole, alphabet)
            begins = tuple(map(id_of, _put_before(folder / WHOLE, whole.get("post_processor"))))
        if pair:
            learned.check_same(folder, pair, vocabulary, merges)
    elif pair and kind == GPT2:
        vocabulary, merges = learned.read_pair(folder, pair)
    elif pair:
        raise TokenizerError(f"{folder} has no {WHOLE}, which a {kind} is read from.")
    else:
        raise TokenizerError(
            f"{folder} holds no tokenizer: it needs {WHOLE}, or vocab.json and merges.txt"
            " (or encoder.json and vocab.bpe)."
        )
    bos, added = added_tokens(folder, kind, settings, whole or {}, vocabulary)
    if whole is None:
        learned.check_complete(folder, pair, vocabulary, merges, {of.content for of in added})
        ids = {token.content: token.id for token in added}
        begins = (ids[bos],) if settings.get("add_bos_token") and bos else ()
    if bos is None and kind != GPT2:  # of which nothing is known then but its vocabulary
        bos = END_OF_TEXT
    rows = config.get("vocab_size", _ROWS) if config else None
    rows = rows if isinstance(rows, int) else None
    ids = {*vocabulary.values(), *(token.id for token in added)} if begins else set()
    if not all(id in ids and (rows is None or id < rows) for id in begins):
        raise TokenizerError(
            f"The tokenizer in {folder} puts a token before every text that it or the model does"
            " not have: they do not belong together."
        )
    space, notes = _switches(kind, settings, whole or {}, begins)
    if lacking := set(alphabet) - vocabulary.keys():
        notes += (
            f"{len(lacking)} of the 256 bytes are no tokens: characters with them are left out.",
        )
    return vocabulary, merges, Extras(added, bos, begins, space, rows, notes)


# --- files ----------------------------------------------------------------------------------------


def _config(folder: Path) -> dict:
    """The model's settings. What is wrong with them is for `mingpt.checkpoint` to say."""
    try:
        return read_object(folder / "config.json") or {}
    except TokenizerError:
        return {}


# --- checks ---------------------------------------------------------------------------------------


def _kind(folder: Path, settings: dict, config: dict) -> str:
    """The class that AutoTokenizer would take, without "Fast" at its end."""
    for name, source in ((SETTINGS, settings), ("config.json", config)):
        if kind := source.get("tokenizer_class"):
            short = str(kind).removesuffix("Fast")
            if short not in (GPT2, *_AS_WRITTEN):
                raise unsupported(folder / name, f"the tokenizer_class {kind}")
            return short
    return GPT2


def _check_settings(path: Path, settings: dict, *, alone: bool) -> None:
    """`alone`: what they say of an end of text is heeded, there being no tokenizer.json."""
    for key in (*_UNSUPPORTED, *(["add_eos_token"] if alone else ())):
        if settings.get(key):
            raise unsupported(path, f"{key} = {brief(settings[key])}")


# --- what is put before a text --------------------------------------------------------------------


def _put_before(path: Path, processor: dict | None) -> Iterator[int]:
    """The ids that a post-processor puts before a text. One that does more is refused."""
    match (processor or {}).get("type", "ByteLevel"):
        case "ByteLevel":
            return
        case "Sequence":
            for inner in processor["processors"]:
                yield from _put_before(path, inner)
        case "TemplateProcessing":
            *before, last = processor["single"]
            if "Sequence" not in last or not all("SpecialToken" in part for part in before):
                raise unsupported(path, "a post-processor that puts tokens after a text")
            for part in before:
                yield from processor["special_tokens"][part["SpecialToken"]["id"]]["ids"]
        case other:
            raise unsupported(path, f"the post-processor {other}")


def _switches(
    kind: str, settings: dict, whole: dict, begins: tuple[int, ...]
) -> tuple[bool, tuple[str, ...]]:
    """Whether a space is put before a text, and what a file asks for without being heeded."""
    notes = []
    asked = {name: None for name in (SETTINGS, WHOLE)}
    if "add_prefix_space" in settings:
        asked[SETTINGS] = bool(settings["add_prefix_space"])
    if whole:
        asked[WHOLE] = bool(whole["pre_tokenizer"].get("add_prefix_space"))
    space = bool(asked[SETTINGS if kind == GPT2 else WHOLE])
    for name, wish in asked.items():
        if wish not in (None, space):
            notes.append(
                f"{name} has add_prefix_space = {str(wish).lower()}, which a {kind} does not heed."
            )
    if whole and settings.get("add_bos_token") and not begins:
        notes.append(f"{SETTINGS} has add_bos_token, which is not heeded beside {WHOLE}.")
    return space, tuple(notes)
