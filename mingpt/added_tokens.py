"""The added tokens of a tokenizer, which are found in a text before anything else is: out of the
four files that may name them, each with the id it has.

Where the files contradict each other so that a text would have other ids in another reader, the
folder is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as brief

from mingpt.vocabulary import WHOLE, TokenizerError, id_of, laid_out, read_object

END_OF_TEXT = "<|endoftext|>"

SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"

# The classes of Hugging Face's that `tokenizer_class` may name: of GPT-2's own it is the vocabulary
# and the merges alone that count, of the others all that tokenizer.json says.
GPT2 = "GPT2Tokenizer"

# The roles a special token may have, in the order in which those without an id are given one.
_ROLES = [f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
_BY_DEFAULT = set(_ROLES[:3])
_FLAGS = ("lstrip", "rstrip", "single_word")
_MOST = 10_000  # to look for more of them in a text takes longer than to read it


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


def added_tokens(
    folder: Path, kind: str, settings: dict, whole: dict, vocabulary: dict[str, int]
) -> tuple[str | None, tuple[AddedToken, ...]]:
    """The token that begins texts, and all added tokens with their ids.

    A token that no file gives an id takes the next that is free. Raises TokenizerError where what
    a file says of a token is not what becomes of it.
    """
    with laid_out(folder / WHOLE):
        in_whole = [_token(one, False, id_of(one["id"])) for one in whole.get("added_tokens") or ()]
    with laid_out(folder / SETTINGS):
        special = in_settings = _special(settings)
        numbered = settings.get("added_tokens_decoder")
        older_too = numbered is None  # whether the files of older versions are followed
        numbered = [_token(one, False, _written(id)) for id, one in (numbered or {}).items()]
    special_map = read_object(folder / SPECIAL) or {}
    with laid_out(folder / SPECIAL):
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
    with laid_out(folder / ADDED):
        in_file = [
            _token({"content": content}, content in names, id_of(id))
            for content, id in (read_object(folder / ADDED) or {}).items()
        ]
    if older_too:
        numbered = list({token.id: token for token in (*in_file, *in_whole)}.values())
    if kind == GPT2:  # to which they all are an end of text, unless a file says otherwise or null
        default = {role: AddedToken(END_OF_TEXT, special=True) for role in _BY_DEFAULT - said}
        special = replace(special, roles=special.roles | default)
    tokens = [*in_whole] if kind != GPT2 else []
    tokens += sorted(numbered, key=lambda token: token.id)
    there = {token.content for token in tokens}
    tokens += [token for token in special.tokens if token.content not in there]
    if len(tokens) > _MOST:
        raise TokenizerError(f"{folder} adds {len(tokens):,} tokens: {_MOST:,} are the most here.")
    result = _with_ids(tokens, {token.content for token in special.tokens}, vocabulary)
    _check_added(folder / WHOLE, in_whole, result)
    _check_added(folder / (ADDED if older_too else SETTINGS), numbered, result)
    _check_added(folder / ADDED, in_file, result, flags=False)
    for name, named in ((SETTINGS, in_settings), (SPECIAL, in_map)):
        _check_added(folder / name, [*named.tokens, *named.additional], result, flags=False)
    bos = special.roles.get("bos_token")
    return bos and bos.content, tuple(result.values())


def _written(id: str) -> int:
    """An id that is the name of something. Raises TypeError for what is none."""
    return id_of(int(id) if id.isascii() and id.isdecimal() and len(id) < 20 else id)


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
