"""What each run would write: asked for by a button, of a cell or of a set; and its address."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from core.continuing import Continue, Patch
from core.question.experiment import Experiment
from core.question.sampling import HOTTEST, MOST, MOST_TOKENS, Sampling
from core.result import Continuation
from core.views import continued
from pages.parts import answer, chips, html, keeping, running
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

# What of the session holds the numbers, whether an address asks for what they make, and whether
# that is on the page.
_NUMBERS, _ASKED, _SHOWN = "continue_numbers", "continue_asked", "continue_shown"
_USUAL = {"tokens": 20, "drawn": False, "temperature": 0.8, "top_k": 0, "seed": 0}


def take(query: Mapping[str, str]) -> None:
    """Continue as an address says; what it says that is no way to is as if it were not there."""
    numbers, asks = dict(_USUAL), "write" in query
    if asks:
        try:
            drawn = "temperature" in query
            found = Sampling(
                int(query["write"]),
                float(query.get("temperature", 0)),
                *(int(query.get(name, 0)) for name in ("top_k", "seed")),
            )
            numbers |= {"tokens": found.tokens, "drawn": drawn}
            if drawn:
                numbers |= {name: getattr(found, name) for name in ("temperature", "top_k", "seed")}
        except ValueError:  # a UserError is one
            asks = False
    st.session_state[_NUMBERS], st.session_state[_ASKED] = numbers, asks
    for name, value in numbers.items():
        if _key(name) in st.session_state:
            st.session_state[_key(name)] = value


def begin() -> None:
    """At the start of a run of a page: nothing is shown yet."""
    st.session_state[_SHOWN] = False


def to_query() -> dict[str, str]:
    """The inverse of `take`, at the end of a run of a page that shows what is written, or has yet
    to."""
    if not (st.session_state.get(_SHOWN) or st.session_state.get(_ASKED)):
        return {}
    numbers = st.session_state[_NUMBERS]
    query = {"write": str(numbers["tokens"])}
    if numbers["drawn"]:
        names = ("temperature", "top_k", "seed")
        query |= {name: f"{numbers[name]:g}" for name in names if numbers[name] or name[0] == "t"}
    return query


def show(wanted: Experiment, on: Shelf, patch: Patch) -> None:
    """The question, its numbers, and below a button what the runs write. Of a cell `wanted` says
    by its site what is patched."""
    st.subheader("What would each run write?")
    plain = keeping.plain_runs(wanted, on)
    question = Continue(wanted, on.model, plain)
    if question.room < 1:
        html.show(html.note("The texts fill all that this model can read: shorten them."))
        return
    how = _ask(question.room)
    from_address = st.session_state.pop(_ASKED, False)

    def make() -> Job:
        begin = partial(question.continued, patch, how)
        return Job(begin, *question.estimate(how), asked=not from_address)

    job = on.keep(wanted.texts, ("continued", wanted.sweep, patch, how), make)
    if not running.drive(job, label="Write on"):
        return
    st.session_state[_SHOWN] = True
    _written(job.result)


def _ask(room: int) -> Sampling:
    """The numbers, as they stand in their fields."""
    numbers = st.session_state.setdefault(_NUMBERS, dict(_USUAL))
    most = min(MOST_TOKENS, room)
    numbers["tokens"] = min(numbers["tokens"], most)
    if st.session_state.get(_key("tokens"), 0) > most:
        st.session_state[_key("tokens")] = most

    def number(label: str, name: str, least, most, **options) -> None:
        begins = {} if _key(name) in st.session_state else {"value": numbers[name]}
        numbers[name] = st.number_input(
            label, least, most, key=_key(name), width=130, **begins, **options
        )

    with st.container(horizontal=True, vertical_alignment="bottom"):
        number("New tokens", "tokens", 1, most)
        begins = {} if _key("drawn") in st.session_state else {"value": numbers["drawn"]}
        numbers["drawn"] = st.toggle(
            "Draw them",
            key=_key("drawn"),
            help="Each token is drawn by its probability, instead of being the likeliest.",
            **begins,
        )
        if not numbers["drawn"]:
            return Sampling(numbers["tokens"])
        number("Temperature", "temperature", 0.05, HOTTEST, step=0.1, format="%.2f")
        number("Top-k", "top_k", 0, MOST, help="Draw among so many of the likeliest; 0: all.")
        number("Seed", "seed", 0, MOST, help="The same seed draws the same tokens.")
    numbers["temperature"] = round(numbers["temperature"], 4)
    return Sampling(**{name: value for name, value in numbers.items() if name != "drawn"})


def _written(found: Continuation) -> None:
    html.show(html.text(continued.writes(found)))
    for column, (run, written) in zip(st.columns(3), found.runs.items(), strict=True):
        with column:
            st.markdown(f"**{run.title()} run**")
            html.show(chips.written(written))
    patched = continued.patched_run(found)
    html.show(
        html.caption(
            f"{found.sampling.in_words.capitalize()}. Patched is {patched}; the patch stays where"
            " it is, at positions of the text, while new tokens are added."
        )
    )
    name = continued.stem(found)
    answer.file_row(
        answer.File("CSV: written", f"{name}.csv", partial(continued.to_csv, found)),
        answer.File("JSON: written", f"{name}.json", partial(continued.to_json, found)),
    )


def _key(name: str) -> str:
    return f"continue_{name}"
