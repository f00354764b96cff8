"""Which pairs the page "Many pairs" works on, and how: chosen there, and kept in the session.

A pack is part of the address, as is how its pairs are used; of what a person brought, only that it
was brought.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache

import streamlit as st

from core.errors import UserError
from core.many import packs
from core.many import pairs as files
from core.many.answer import DRAWS, KEEPS
from core.many.fitting import REDUCES
from core.many.packs import PACKS
from core.many.pairs import Dropped, Pair
from core.models import Entry
from pages.parts import html

OWN = "own"  # what the person brought, among the names of packs
_CHOICE, _BROUGHT, _READ = "pairs_choice", "pairs_brought", "pairs_read"
_PASTED, _UPLOADED = "pasted_pairs", "uploaded_pairs"
_PAGES = ("many", "sets")  # their addresses
_EXAMPLE = (
    "id,group,clean,corrupted,target,foil\n"
    "keys,plural,The [subject:keys] near the cabinet,The [subject:key] near the cabinet,"
    '" are"," is"'
)
_DRAWS = {"": "what suits the pairs", **DRAWS}
_KEEPS_SHORT = {"all": "All that can be used", "flips": "Those that flip", "first": "Target first"}


@dataclass(frozen=True)
class Choice:
    """Which pairs, and what is made of them."""

    pack: str = ""  # "": the first that is for the model
    keep: str = "all"
    roles: str = "last"
    rest: bool = False
    of_ratios: bool = False
    resample_seed: int = 0  # of a resample ablation
    draws: str = ""  # "": groups of a file are drawn whole; those of a pack are conditions


@dataclass(frozen=True)
class Given:
    """The pairs of a pack or a file; `digest` stands for them."""

    source: str
    digest: str
    pairs: list[Pair]
    dropped: list[Dropped]
    draws: str = "groups"  # what a bootstrap usually draws of them


def take(query: Mapping[str, str]) -> None:
    """Choose as an address says; what it says that is no choice is as if it were not there."""
    seed = query.get("resample_seed", "")
    choice = Choice(
        pack=query.get("pack", "") if query.get("pack") in (*PACKS, OWN) else "",
        keep=query.get("keep", "") if query.get("keep") in KEEPS else "all",
        roles=query.get("roles", "") if query.get("roles") in REDUCES else "last",
        rest=query.get("rest") == "1",
        of_ratios=query.get("of_ratios") == "1",
        resample_seed=int(seed) if re.fullmatch("[0-9]{1,9}", seed) else 0,
        draws=query.get("draws", "") if query.get("draws") in DRAWS else "",
    )
    st.session_state[_CHOICE] = choice
    for field, value in asdict(choice).items():
        if _key(field) in st.session_state:
            st.session_state[_key(field)] = value


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the pages that have to do with it."""
    if st.session_state.get("page") not in _PAGES:
        return {}
    usual = asdict(Choice())
    return {
        field: value if isinstance(value, str) else str(int(value))
        for field, value in asdict(chosen()).items()
        if value != usual[field]
    }


def chosen() -> Choice:
    """With what its widgets hold, if they are there."""
    stored = st.session_state.get(_CHOICE, Choice())
    values = asdict(stored).items()
    held = {field: st.session_state.get(_key(field), value) for field, value in values}
    st.session_state[_CHOICE] = Choice(**held)
    return st.session_state[_CHOICE]


def source(entry: Entry, example: str = "") -> None:
    """The choice of a pack, those for the model first, and of these the one that is like an
    `example`, by its title; or of a file."""
    vocabulary = "teaching" if entry.base == "teaching" else "gpt2"

    def comes_late(name: str) -> tuple[bool, bool]:
        pack = PACKS[name]
        return pack.vocabulary != vocabulary, not pack.title.startswith(example)

    names = sorted(PACKS, key=comes_late)
    if chosen().pack not in (*names, OWN):
        st.session_state[_CHOICE] = Choice(**asdict(chosen()) | {"pack": names[0]})
        st.session_state.pop(_key("pack"), None)
    names.append(OWN)
    st.selectbox(
        "Pairs",
        names,
        format_func=lambda name: "Your own …" if name == OWN else PACKS[name].title,
        **_widget("pack", names),
    )
    if chosen().pack == OWN:
        _bring()
    else:
        html.show(html.note(PACKS[chosen().pack].about))


def options(has_roles: bool, resample: bool) -> None:
    """How the pairs become one map, and where they `resample`, which gives to which."""
    st.selectbox("Use", KEEPS, format_func=_KEEPS_SHORT.get, help=_help(), **_widget("keep", KEEPS))
    if resample:
        st.number_input(
            "Seed of the draw",
            min_value=0,
            max_value=999_999_999,
            **_widget("resample_seed"),
            help="Which other pair’s activation is put into each: every pair gives to one, never"
            " to itself. If another seed gives another map, the pairs are too few.",
        )
    with st.popover("How pairs share a map", type="tertiary"):
        st.selectbox(
            "A role of several tokens is",
            REDUCES,
            format_func=REDUCES.get,
            disabled=not has_roles,
            **_widget("roles", REDUCES),
        )
        st.toggle(
            "Columns for the tokens between roles",
            disabled=not has_roles,
            **_widget("rest"),
            help="The mean over those before the first role, between roles and after the last.",
        )
        st.toggle(
            "Recovery as a mean of ratios",
            **_widget("of_ratios"),
            help="Usually it is a ratio of means: a mean of ratios is ruled by the pairs whose two"
            " runs hardly differ.",
        )
        st.selectbox(
            "For the intervals draw",
            _DRAWS,
            format_func=_DRAWS.get,
            **_widget("draws", _DRAWS),
            help="Whole groups where they are samples of something, such as templates.",
        )


def given() -> Given | None:
    """The pairs to work on; nothing, and on the page what is wrong with them or what they should
    be, if they are none."""
    name = chosen().pack
    if name != OWN:
        made = _pack(name)
        return Given(PACKS[name].title, f"pack {name}", made, [], draws="pairs")
    brought = st.session_state.get(_BROUGHT)
    if brought is None:
        html.show(html.note("No pairs are here: a reload, or a link, does not bring them along."))
        st.markdown(
            "Bring a table with the columns clean, corrupted, target and foil. A word’s token"
            " begins with its space, and brackets name what corresponds in sentences of different"
            " shape:"
        )
        st.code(_EXAMPLE, language=None, wrap_lines=True)
        return None
    called, content = brought
    digest = hashlib.sha256(content).hexdigest()
    known = st.session_state.get(_READ)
    if known is None or known.digest != digest:
        try:
            known = Given(called, digest, *files.read(content, called))
        except UserError as error:
            html.show(html.problem(str(error)))
            return None
        st.session_state[_READ] = known
    return known


def _bring() -> None:
    upload, paste = st.tabs(["A file", "Paste"])
    with upload:
        st.file_uploader(
            "CSV, TSV, JSON or JSONL",
            key=_UPLOADED,
            on_change=_take_upload,
            help="Columns clean, corrupted, target, foil and, if there, id and group.",
        )
    with paste:
        st.text_area(
            "Rows as in a file",
            key=_PASTED,
            on_change=_take_paste,
            placeholder=_EXAMPLE,
            height=120,
        )
    if brought := st.session_state.get(_BROUGHT):
        html.show(html.note(f"Here: {brought[0]}, {len(brought[1]):,} bytes."))


def _take_upload() -> None:
    if (file := st.session_state[_UPLOADED]) is not None:
        st.session_state[_BROUGHT] = (file.name, file.getvalue())


def _take_paste() -> None:
    if text := st.session_state[_PASTED]:
        st.session_state[_BROUGHT] = ("what was pasted", text.encode("utf-8", "surrogatepass"))


@cache
def _pack(name: str) -> list[Pair]:
    return packs.PACKS[name].make()


def _help() -> str:
    return "  \n".join(f"{_KEEPS_SHORT[name]}: {says}." for name, says in KEEPS.items())


def _widget(field: str, options=()) -> dict:
    """The key of a widget, and what it begins with."""
    if _key(field) in st.session_state:
        return {"key": _key(field)}
    value = getattr(chosen(), field)
    begins = {"index": list(options).index(value)} if options else {"value": value}
    return {"key": _key(field)} | begins


def _key(field: str) -> str:
    return f"pairs_{field}"
