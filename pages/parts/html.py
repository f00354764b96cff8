"""Small pieces of HTML for what markdown would garble: messages that name tokens, or what is typed.

Pure functions from plain values to HTML; everything they are given is escaped, nothing that a
person types is ever markup. Tokens and texts are drawn by `pages.parts.chips`, an answer's numbers
by `pages.parts.tables`, in the same way.
"""

import re
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from core.question.experiment import Experiment
from core.views import colours

_HERE = Path(__file__).parent


def dress() -> None:
    """At the start of every run: how the page looks, and what it does in the browser by itself."""
    st.html(f"<style>:root {{ {colours.css_properties()} }}</style>")
    st.html(_HERE / "page.css")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def run(script: str) -> None:
    """Let the browser run a script of ours."""
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def show(markup: str, width: str = "stretch") -> None:
    """Draw HTML that is made here, by `chips` or by `tables`."""
    st.html(markup, width=width)


# What Streamlit turns into links, pictures, arrows and dashes even where markdown has been told to
# leave it alone, since it looks at the text that is left then.
_TURNED = re.compile(r"[@:]|www(?=\.)|[-<>~](?=[-=>])")


def label(name: str) -> str:
    """A name, whatever is in it, as a widget's label that is read as markdown: as it is, in one
    line. What would be turned into something else is parted by word joiners, which have no
    width."""
    line = re.sub(r"\s+", " ", name).strip()
    apart = _TURNED.sub("\\g<0>\u2060", line)
    return re.sub(r"[!-,:-@\[-`{-~]|^[-+]|(?<=^\d)\.|(?<=^\d\d)\.", r"\\\g<0>", apart)


def sentence(says: str) -> str:
    """Words with blanks between them as a widget's label: each as it is."""
    return " ".join(map(label, says.split(" ")))


def title(question: str) -> str:
    """What a page asks, and a button that copies its address (page.js)."""
    return (
        f'<div class="pb-title"><h2>{escape(question)}</h2>'
        '<button class="pb-copy" title="The address holds all that is on this page">Copy link'
        "</button></div>"
    )


def problem(message: str) -> str:
    return f'<div class="pb-note pb-problem" role="alert">{escape(message)}</div>'


def note(message: str) -> str:
    return f'<div class="pb-note" role="status">{escape(message)}</div>'


def doubt(says: str, why: str = "") -> str:
    """What is doubtful about a result, in the words of `core.views.doubts`."""
    more = f"<div>{escape(why)}</div>" if why else ""
    return f'<div class="pb-note pb-doubt" role="note">{escape(says)}{more}</div>'


def text(says: str) -> str:
    """A paragraph, as it is."""
    return f"<div>{escape(says)}</div>"


def task(kind: str, title: str, asks: str, number: int | None = None) -> str:
    """What is to be done, and what kind of thing that is; by its number the browser sees that it
    is another (page.js)."""
    kind = f'<div class="pb-caption">{escape(kind)}</div>' if kind else ""
    which = "" if number is None else f' data-number="{number}"'
    return (
        f'<div class="pb-task"{which}>{kind}<h3>{escape(title)}</h3><div>{escape(asks)}</div></div>'
    )


def caption(says: str) -> str:
    """What stands below a figure, smaller."""
    return f'<div class="pb-caption">{escape(says)}</div>'


def asked(experiment: Experiment) -> str:
    """Which experiment stands in the inputs, and what the browser shows while the rest of the page
    is of another (page.js)."""
    return (
        f'<div class="pb-asked" data-experiment="{_attribute(experiment)}">'
        '<span class="pb-former-says"></span></div>'
    )


def hold() -> str:
    """Nothing to see, that keeps a container from being empty (page.css)."""
    return '<div class="pb-hold"></div>'


def answered(experiment: Experiment) -> str:
    """Which experiment all that the page shows is of, to be held against the inputs."""
    return f'<div class="pb-answered" data-experiment="{_attribute(experiment)}"></div>'


def _attribute(experiment: Experiment) -> str:
    """As a link writes it: of an attribute the browser drops the spaces at both ends."""
    return escape(urlencode(experiment.to_query()))


def counted(words: int, least: int, most: int) -> str:
    """How many words there are of those that are asked for, as a number and a bar."""
    share = min(1.0, words / max(1, most))
    kind = "" if least <= words <= most else "pb-not-yet"
    return (
        f'<div class="pb-words {kind}"><b>{words:,}</b> words of your own, of {least:,} to'
        f' {most:,}<div><i style="width: {share:.1%}"></i>'
        f'<u style="left: {min(1.0, least / max(1, most)):.1%}"></u></div></div>'
    )


def items(says: list[str]) -> str:
    """Sentences as a list."""
    return f'<ul class="pb-items">{"".join(f"<li>{escape(one)}</li>" for one in says)}</ul>'


def long_caption(lines: list[list[tuple[str, bool]]]) -> str:
    """A caption of several lines, some pieces of them marked."""
    told = (
        " ".join(f"<b>{escape(text)}</b>" if marked else escape(text) for text, marked in line)
        for line in lines
    )
    return f'<div class="pb-caption">{"<br>".join(told)}</div>'


def facts(rows: dict[str, str]) -> str:
    """What is known of something, each as a name and what it is."""
    body = "".join(
        f"<tr><th>{escape(name)}</th><td><bdi>{escape(what)}</bdi></td></tr>"
        for name, what in rows.items()
        if what
    )
    return f'<table class="pb-table pb-facts">{body}</table>'


def columns(container: str, number: int) -> str:
    """How many columns the chart in a container has, whose key begins with "wide_" (page.css)."""
    return f"<style>.st-key-{container} {{ --columns: {number}; }}</style>"
