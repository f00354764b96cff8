"""What the files of a folder say about its tokenizer, and which of them is right.

A tokenizer is `tokenizer.json`, as the library `tokenizers` writes it, or `vocab.json` and
`merges.txt` (OpenAI called them `encoder.json` and `vocab.bpe`). Beside them
`tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` may name further tokens
and switches. Where several files speak of one thing, the one that Hugging Face's AutoTokenizer
follows is followed; where they contradict each other so that a text would have other ids in another
reader, the folder is refused, and so is what only other algorithms can do.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from reprlib import repr as brief

END_OF_TEXT = "<|endoftext|>"

_WHOLE = "tokenizer.json"
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_ROWS = 50_257  # of a model whose config.json does not say
_SETTINGS = "tokenizer_config.json"
_SPECIAL = "special_tokens_map.json"
_ADDED = "added_tokens.json"
FILES = (_WHOLE, *_PAIRS[0], _SETTINGS, _SPECIAL, _ADDED)  # whichever of them a repository has

# The classes of Hugging Face's that `tokenizer_class` may name: of GPT-2's own it is the vocabulary
# and the merges alone that count, of the others all that tokenizer.json says.
_GPT2 = "GPT2Tokenizer"
_AS_WRITTEN = ("PreTrainedTokenizer", "TokenizersBackend")

# The roles a special token may have, in the order in which those without an id are given one.
_ROLES = [f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
_BY_DEFAULT = set(_ROLES[:3])
_FLAGS = ("lstrip", "rstrip", "single_word")

_UNSUPPORTED_SETTINGS = ("auto_map", "fast_tokenizer_files", "split_special_tokens")
_UNSUPPORTED_BPE = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


class TokenizerError(ValueError):
    """A folder that does not hold a tokenizer, or a text that no tokenizer can encode."""


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text before anything else is."""

    content: str
    id: int | None = None  # None: the next that is free
    lstrip: bool = False  # takes the white space before it with it
    rstrip: bool = False  # ... and that after it
    single_word: bool = False  # is found only where no letter or digit touches it
    normalized: bool | None = None  # is looked for after those that are not; None: if not special
    special: bool = False  # stands for something that is no text, as an end of text does


@dataclass(frozen=True)
class Extras:
    """What a tokenizer has besides its vocabulary and merges."""

    added: tuple[AddedToken, ...] = ()
    bos: str | None = END_OF_TEXT  # the token that may begin a text
    begins: tuple[int, ...] = ()  # ids that the tokenizer itself puts before every text
    prefix_space: bool = False  # puts a space before a text, and after an added token
    rows: int | None = None  # how many tokens the model has embeddings for, where it is known
    notes: tuple[str, ...] = ()  # what of the files is not followed, as sentences


Merges = list[tuple[str, str]]


def read(folder: Path, alphabet: Collection[str]) -> tuple[dict[str, int], Merges, Extras]:
    """The vocabulary (token -> id), the merges, the first learned first, and the extras of the
    tokenizer in `folder`. `alphabet` are the characters that stand for the 256 bytes.

    Raises TokenizerError, naming the file, for what is missing, damaged or cannot be followed.
    """
    settings, whole = _object(folder / _SETTINGS) or {}, _object(folder / _WHOLE)
    config = _config(folder)
    kind = _kind(folder, settings, config)
    _check_settings(folder / _SETTINGS, settings, alone=whole is None)
    pair = next((p for p in _PAIRS if all(os.path.isfile(folder / name) for name in p)), None)
    if whole is not None:
        with _laid_out(folder / _WHOLE):
            vocabulary, merges = _read_whole(folder / _WHOLE, whole, alphabet)
            begins = tuple(map(index, _put_before(folder / _WHOLE, whole.get("post_processor"))))
        if pair:
            _check_same(folder, pair, vocabulary, merges)
    elif pair and kind == _GPT2:
        vocabulary, merges = _read_pair(folder, pair)
    elif pair:
        raise TokenizerError(f"{folder} has no {_WHOLE}, which a {kind} is read from.")
    else:
        raise TokenizerError(
            f"{folder} holds no tokenizer: it needs {_WHOLE}, or vocab.json and merges.txt"
            " (or encoder.json and vocab.bpe)."
        )
    bos, added = _added(folder, kind, settings, whole or {}, vocabulary)
    if whole is None:
        ids = {token.content: token.id for token in added}
        begins = (ids[bos],) if settings.get("add_bos_token") and bos else ()
    if bos is None and kind != _GPT2:  # of which nothing is known then but its vocabulary
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


def _object(path: Path) -> dict | None:
    """What a JSON file holds; None if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise TokenizerError(f"{path} is not laid out as a tokenizer's file: it is no object.")
    return found


def _config(folder: Path) -> dict:
    """The model's settings. What is wrong with them is for `mingpt.checkpoint` to say."""
    try:
        return _object(folder / "config.json") or {}
    except TokenizerError:
        return {}


@contextmanager
def _laid_out(path: Path) -> Iterator[None]:
    """Turns what is raised by a file that is laid out otherwise into an error that names it."""
    try:
        yield
    except TokenizerError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TokenizerError(f"{path} is not laid out as a tokenizer's file ({reason}).") from error


def _read_pair(folder: Path, names: tuple[str, str]) -> tuple[dict[str, int], Merges]:
    vocabulary, merges = (folder / name for name in names)
    tokens, pairs = _parsed_pair(folder, names)
    _check_vocabulary(vocabulary, tokens)
    _check_merges(f"{merges} does not belong to {vocabulary}: copy both again.", pairs, tokens)
    return tokens, pairs


def _parsed_pair(folder: Path, names: tuple[str, str]) -> tuple[dict[str, int], Merges]:
    vocabulary, merges = (folder / name for name in names)
    path = vocabulary
    try:
        tokens = json.loads(path.read_text(encoding="utf-8"))
        path = merges
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}.") from error
    if lines and lines[0].startswith("#version"):
        del lines[0]
    return tokens, [tuple(line.split(" ")) for line in lines]


def _read_whole(
    path: Path, whole: dict, alphabet: Collection[str]
) -> tuple[dict[str, int], Merges]:
    """The vocabulary and merges of `tokenizer.json`, if it is byte-level BPE and nothing else."""
    model, cut = whole["model"], whole.get("pre_tokenizer") or {}
    if normalizer := whole.get("normalizer"):
        raise _unsupported(path, f"the normalizer {_named(normalizer)}")
    if cut.get("type") != "ByteLevel":
        raise _unsupported(path, f"the pre-tokenizer {_named(cut)}")
    if not cut.get("use_regex", True):
        raise _unsupported(path, "the pre-tokenizer ByteLevel with use_regex = false")
    if model.get("type", "BPE") != "BPE":
        raise _unsupported(path, f"the model {_named(model)}")
    for key in _UNSUPPORTED_BPE:
        if model.get(key):
            raise _unsupported(path, f"{key} = {brief(model[key])}")
    vocabulary = model["vocab"]
    _check_vocabulary(path, vocabulary)
    if model.get("unk_token") and not vocabulary.keys() >= set(alphabet):
        raise _unsupported(path, f"unk_token = {brief(model['unk_token'])} for bytes it lacks")
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    _check_merges(f"{path} has merges that make no token of its vocabulary.", merges, vocabulary)
    return vocabulary, merges


def _named(part: dict) -> str:
    """The type of a part of `tokenizer.json`, with the types of the parts that it has itself."""
    inner = next((part[key] for key in part if isinstance(part[key], list)), [])
    inner = [_named(one) for one in inner if isinstance(one, dict) and "type" in one]
    return f"{part.get('type', 'none')}" + (f" of {', '.join(inner)}" if inner else "")


def _unsupported(path: Path, what: str) -> TokenizerError:
    return TokenizerError(f"{path} asks for {what}; only GPT-2's byte-level BPE is read here.")


# --- checks ---------------------------------------------------------------------------------------


def _kind(folder: Path, settings: dict, config: dict) -> str:
    """The class that AutoTokenizer would take, without "Fast" at its end."""
    for name, source in ((_SETTINGS, settings), ("config.json", config)):
        if kind := source.get("tokenizer_class"):
            short = str(kind).removesuffix("Fast")
            if short not in (_GPT2, *_AS_WRITTEN):
                raise _unsupported(folder / name, f"the tokenizer_class {kind}")
            return short
    return _GPT2


def _check_settings(path: Path, settings: dict, *, alone: bool) -> None:
    """`alone`: what they say of an end of text is heeded, there being no tokenizer.json."""
    for key in (*_UNSUPPORTED_SETTINGS, *(["add_eos_token"] if alone else ())):
        if settings.get(key):
            raise _unsupported(path, f"{key} = {brief(settings[key])}")


def _check_merges(says: str, merges: Merges, vocabulary: dict[str, int]) -> None:
    try:
        fit = all(a + b in vocabulary for a, b in merges)
    except ValueError:  # not two
        fit = False
    if not fit:
        raise TokenizerError(says)


def _check_vocabulary(path: Path, vocabulary: object) -> None:
    ids = vocabulary.values() if isinstance(vocabulary, dict) else ()
    if set(map(type, ids)) != {int} or min(ids) < 0 or max(ids) >= 2**31:
        raise TokenizerError(f"{path} is no vocabulary: it should map tokens to their ids.")
    if len(set(ids)) < len(vocabulary):
        raise TokenizerError(f"{path} gives one id to two tokens: copy it again.")


def _check_same(
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
            f"{folder / _WHOLE} and {name} are of two tokenizers: remove what is not the model's"
            " from the folder."
        )


# --- added tokens ---------------------------------------------------------------------------------


def _token(value: str | dict, special: bool = True, id: int | None = None) -> AddedToken:
    """An added token as one of the files writes it."""
    if isinstance(value, str):
        return AddedToken(value, id, special=special)
    fields = {key: value[key] for key in (*_FLAGS, "normalized") if key in value}
    if not isinstance(value["content"], str):
        raise TypeError(f"{brief(value)} is no token")
    return AddedToken(value["content"], id, special=bool(value.get("special", special)), **fields)


@dataclass(frozen=True)
class _Special:
    """The special tokens that a file names by a role, and those that it lists, by either key."""

    roles: dict[str, AddedToken]
    extra: list[AddedToken]
    additional: list[AddedToken]  # as those were called before

    @property
    def tokens(self) -> list[AddedToken]:
        """All of them, in the order in which those without an id are given one."""
        rank = dict(zip(_ROLES, range(len(_ROLES)), strict=True))
        by_rank = sorted(self.roles, key=lambda role: rank.get(role, len(rank)))
        return [*(self.roles[role] for role in by_rank), *(self.extra or self.additional)]


def _special(source: dict) -> _Special:
    roles = {key: source[key] for key in source if key.endswith("_token")}
    extra, additional = (source.get(f"{kind}_special_tokens") for kind in ("extra", "additional"))
    if isinstance(extra, dict):
        roles, extra = roles | extra, None
    roles = {role: _token(token) for role, token in roles.items() if isinstance(token, str | dict)}
    return _Special(roles, list(map(_token, extra or ())), list(map(_token, additional or ())))


def _added(
    folder: Path, kind: str, settings: dict, whole: dict, vocabulary: dict[str, int]
) -> tuple[str | None, tuple[AddedToken, ...]]:
    """The token that begins texts, and all added tokens with their ids.

    A token that no file gives an id takes the next that is free. Raises TokenizerError where what
    a file says of a token is not what becomes of it.
    """
    with _laid_out(folder / _WHOLE):
        in_whole = [_token(one, False, index(one["id"])) for one in whole.get("added_tokens") or ()]
    with _laid_out(folder / _SETTINGS):
        special = in_settings = _special(settings)
        numbered = settings.get("added_tokens_decoder")
        older_too = numbered is None  # whether the files of older versions are followed
        numbered = [_token(one, False, int(id)) for id, one in (numbered or {}).items()]
    special_map = _object(folder / _SPECIAL) or {}
    with _laid_out(folder / _SPECIAL):
        in_map = _special(special_map)
    said = settings.keys()
    if older_too:
        said = said | special_map.keys()
        special = _Special(
            in_settings.roles | in_map.roles,
            in_settings.extra + in_map.extra,
            in_settings.additional or in_map.additional,
        )
    names = {token.content for token in special.tokens}
    with _laid_out(folder / _ADDED):
        in_file = [
            _token({"content": content}, content in names, index(id))
            for content, id in (_object(folder / _ADDED) or {}).items()
        ]
    if older_too:
        numbered = list({token.id: token for token in (*in_file, *in_whole)}.values())
    if kind == _GPT2:  # to which they all are an end of text, unless a file says otherwise or null
        default = {role: AddedToken(END_OF_TEXT, special=True) for role in _BY_DEFAULT - said}
        special = replace(special, roles=special.roles | default)
    tokens = [*in_whole] if kind != _GPT2 else []
    tokens += sorted(numbered, key=lambda token: token.id)
    there = {token.content for token in tokens}
    tokens += [token for token in special.tokens if token.content not in there]
    result = _with_ids(tokens, {token.content for token in special.tokens}, vocabulary)
    _check_added(folder / _WHOLE, in_whole, result)
    _check_added(folder / _SETTINGS, numbered, result)
    _check_added(folder / _ADDED, in_file, result, flags=False)
    for name, named in ((_SETTINGS, in_settings), (_SPECIAL, in_map)):
        _check_added(folder / name, [*named.tokens, *named.additional], result, flags=False)
    bos = special.roles.get("bos_token")
    return bos and bos.content, tuple(result.values())


def _with_ids(
    tokens: list[AddedToken], special: set[str], vocabulary: dict[str, int]
) -> dict[str, AddedToken]:
    """Added tokens by their text, each with its id: the vocabulary's, or the next after all."""
    result: dict[str, AddedToken] = {}
    following = len(vocabulary)
    has_gaps = max(vocabulary.values()) >= following
    for token in tokens:
        if not token.content:
            continue
        id = result[token.content].id if token.content in result else vocabulary.get(token.content)
        if id is None:
            if has_gaps:
                raise TokenizerError(
                    f"Which id the added token {brief(token.content)} has cannot be known: the"
                    " vocabulary leaves ids out."
                )
            id, following = following, following + 1
        is_special = token.special or token.content in special
        normalized = not is_special if token.normalized is None else token.normalized
        result[token.content] = replace(token, id=id, special=is_special, normalized=normalized)
    return result


def _check_added(
    path: Path, tokens: Iterable[AddedToken], result: dict[str, AddedToken], flags: bool = True
) -> None:
    """Refuse a file that speaks of tokens otherwise than the files that are followed."""
    for token in tokens:
        if not token.content:
            continue
        there = result.get(token.content)
        if there is None:
            raise TokenizerError(
                f"{path} adds the token {brief(token.content)}, which the files that are followed"
                " do not: save the tokenizer again."
            )
        if token.id not in (None, there.id):
            raise TokenizerError(
                f"{path} gives the token {brief(token.content)} the id {brief(token.id)}, but the"
                f" other files {there.id}: save the tokenizer again."
            )
        for flag in _FLAGS:
            if flags and getattr(token, flag) != getattr(there, flag):
                raise TokenizerError(
                    f"{path} and another file differ in {flag} of the token"
                    f" {brief(token.content)}: save the tokenizer again."
                )


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
                raise _unsupported(path, "a post-processor that puts tokens after a text")
            for part in before:
                yield from processor["special_tokens"][part["SpecialToken"]["id"]]["ids"]
        case other:
            raise _unsupported(path, f"the post-processor {other}")


def _switches(
    kind: str, settings: dict, whole: dict, begins: tuple[int, ...]
) -> tuple[bool, tuple[str, ...]]:
    """Whether a space is put before a text, and what a file asks for without being heeded."""
    notes = []
    asked = {name: None for name in (_SETTINGS, _WHOLE)}
    if "add_prefix_space" in settings:
        asked[_SETTINGS] = bool(settings["add_prefix_space"])
    if whole:
        asked[_WHOLE] = bool(whole["pre_tokenizer"].get("add_prefix_space"))
    space = bool(asked[_SETTINGS if kind == _GPT2 else _WHOLE])
    for name, wish in asked.items():
        if wish not in (None, space):
            notes.append(
                f"{name} has add_prefix_space = {str(wish).lower()}, which a {kind} does not heed."
            )
    if whole and settings.get("add_bos_token") and not begins:
        notes.append(f"{_SETTINGS} has add_bos_token, which is not heeded beside {_WHOLE}.")
    return space, tuple(notes)
