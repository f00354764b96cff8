"""Which pairs the page "Many pairs" works on, and how: chosen there, and kept in the session.

A pack is part of the address, as is how its pairs are used; of what a person brought, only that it
was brought.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import streamlit as st

from core import catalogue
from core.catalogue import TEACHING, Entry
from core.many import packs
from core.many.answer import DRAWS, KEEPS
from core.many.fitting import REDUCES
from core.many.packs import PACKS
from core.many.pairs import Pair, counted
from core.many.survey import Sample
from pages.parts import brought, experiment, html
from pages.parts.brought import Given

OWN = "own"  # what the person brought, among the names of packs
_CHOICE = "pairs_choice"
_PAGES = ("many", "sets")  # their addresses
_WIDE = {"clean": 220, "corrupted": 220, "why not": 220}  # columns of sentences, in pixels
_ROW = 64  # pixels: three lines of a sentence
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

    def comes_late(name: str) -> tuple[bool, bool]:
        pack = PACKS[name]
        return pack.vocabulary != _vocabulary(entry), not pack.title.startswith(example)

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
        brought.bring()
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
        pack = PACKS[name]
        about = {"draws": "pairs", "is_pack": True, "groups_are": pack.groups_are}
        return Given(pack.title, f"pack {name}", _pack(name), [], **about)
    return brought.given()


def warn_of_pack(given: Given, entry: Entry, sample: Sample | None = None) -> None:
    """Of a pack for another model: what this one makes of it, and the ways out."""
    pack = PACKS.get(chosen().pack)
    if pack is None or pack.vocabulary == _vocabulary(entry):
        return
    usable = f"{len(sample.pairs) if sample else 0:,} of {counted(len(given.pairs), 'pair')}"
    if pack.vocabulary == "gpt2":
        says = (
            "These pairs are made for GPT-2. The teaching model knows about 400 words and reads all"
            f" others in pieces: {usable} can be used, and what it says to sentences of a kind that"
            " it never met is no finding."
        )
    else:
        says = (
            "These pairs are made for the teaching model, of its own little language. This model"
            f" can use {usable}; where a name is several tokens to it, a pair is left out."
        )
    html.show(html.doubt(says))
    with st.container(horizontal=True):
        if twin := packs.twin(pack):
            title = html.label(twin.title)
            st.button(f"Take “{title}” instead", on_click=_take_pack, args=(twin.name,))
        name = "gpt2" if pack.vocabulary == "gpt2" else TEACHING.name
        title = html.label(catalogue.named(name).title)
        st.button(f"Ask “{title}”", on_click=experiment.enter, args=("model", name))


def _take_pack(name: str) -> None:
    st.session_state[_key("pack")] = name


def table(rows: Sequence[Mapping], key: str, **options) -> None:
    """Pairs as a table, with room for whole sentences."""
    widths = {name: st.column_config.TextColumn(width=width) for name, width in _WIDE.items()}
    st.dataframe(
        rows, key=key, hide_index=True, height=360, row_height=_ROW, column_config=widths, **options
    )


@cache
def _pack(name: str) -> list[Pair]:
    return packs.PACKS[name].make()


def _vocabulary(entry: Entry) -> str:
    """For whose words a pack is that suits a model."""
    return "teaching" if entry.base == TEACHING.name else "gpt2"


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
