"""What came out: the baselines, the map, the chosen cell, the next-token tables, the files."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from core.guess import Surprise
from core.many.answer import Answer
from core.question.experiment import SIDES, Experiment
from core.question.tokens import Token, can_be_typed
from core.result import EMBEDDING, Map, Result, and_further
from core.study import TOP, Study
from core.views import code, colours, exports, heatmaps, names, run_figures
from pages.parts import chips, history, html, look, notebook, opened, predict, running, tables
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

CHART = "heatmap"
HOVERED = ("logit_diff", "recovery")  # what a hover shows besides the experiment's own metric
_DESK = 440  # pixels that the map has for its cells at the least, if not on a phone
MODEBAR = {"displaylogo": False}
_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
_TYPES |= {"csv": "text/csv", "json": "application/json", "zip": "application/zip"}
_TYPES |= {"py": "text/x-python", "ipynb": "application/x-ipynb+json"}


_MOVED = (
    "risen: by how many places a token has gone up from the {unpatched} run; clean, corr.: its rank"
    " on the clean and on the corrupted run."
)


def narrowest() -> int | None:
    """How wide a map is for its cells at the least, where it is known to have the room."""
    return None if "Mobi" in st.context.headers.get("User-Agent", "Mobi") else _DESK


def heatmap(result: Result, surprises: tuple[Surprise, ...] = ()) -> None:
    """The map, to hover and click."""
    st.plotly_chart(
        heatmaps.heatmap(
            result,
            selected(result),
            view=look.view(),
            narrowest=narrowest(),
            surprises=[surprise[:2] for surprise in surprises],
        ),
        key=CHART,
        on_select=partial(take_click, result.rows),
        selection_mode="points",
        config=MODEBAR,
        alt="Heatmap of the metric by what was patched; its numbers are in the CSV file.",
    )


def still_heatmap(result: Result, key: str, beside: Sequence[Map] = ()) -> None:
    """The map, to hover only: an unfinished one, or one `beside` others or in a text."""
    figure = heatmaps.heatmap(result, beside=beside, clickable=False)
    st.plotly_chart(figure, key=key, config=MODEBAR)


def beyond(axes: tuple[str, ...], tokens: dict[str, tuple[Token, ...]]) -> tuple[int, ...]:
    """What of a cell's index lies beyond a map of two axes: for a sweep by layer, head and
    position the position, which a slider chooses."""
    if len(axes) == 2:
        return ()
    last = len(tokens["clean"]) - 1
    asked = look.position()
    st.session_state[look.POSITION] = last if asked is None else min(asked, last)
    position = st.slider("Position", 0, last, key=look.POSITION) if last else 0
    sides = (tokens[side][position] for side in ("clean", "corrupted"))
    html.show(chips.tokens_at(*sides, position))
    return (position,)


def one_map(result: Result, beyond: tuple[int, ...]) -> Result:
    """The map of two axes to show."""
    return result.at(*beyond) if beyond else result


def chosen(result: Map) -> None:
    """The chosen cell: chosen by a click on the map, or here."""
    columns = result.values.shape[1]
    row, place = look.chosen()
    if row not in (None, *result.rows) or (place or 0) >= columns:  # chosen on a larger map
        _clear()
    layer, column, clear = st.columns((5, 5, 2), vertical_alignment="bottom")
    layer.selectbox("Layer", result.rows, index=None, key=look.ROW, placeholder="click a cell")
    if isinstance(result, Answer) and result.axes[1] == "role":
        column.selectbox(
            "Role",
            range(columns),
            format_func=lambda place: html.label(result.columns[place]),
            index=None,
            key=look.COLUMN,
            placeholder="or choose",
        )
    else:
        column.number_input(
            result.axes[1].title(),
            0,
            columns - 1,
            value=None,
            key=look.COLUMN,
            placeholder="or type",
        )
    nothing = selected(result) is None
    clear.button("Clear", on_click=_clear, width="stretch", disabled=nothing)


def selected(result: Map) -> tuple[int, int] | None:
    """The chosen cell as (row, column), if it is on this map."""
    row, column = look.chosen()
    if row in result.rows and column is not None and column < result.values.shape[1]:
        return result.rows.index(row), column
    return None


def next_tokens(study: Study, result: Result, beyond: tuple[int, ...]) -> None:
    """The likeliest next tokens of both plain runs, and of the chosen cell's between them."""
    at, asked = selected(result), (result.target.id, result.foil.id)
    own = study.contenders(*asked)
    rows = {side: and_further(result.top[side], own[side]) for side in SIDES}
    moves = ()
    if at is not None:
        moves = study.patched_next_tokens((*at, *beyond), also=asked)
        patched = tuple(move.now for move in moves)
        rows = {"clean": rows["clean"], "patched": patched, "corrupted": rows["corrupted"]}
    as_chart = (
        st.segmented_control(
            "The likeliest next tokens as",
            ("Table", "Chart"),
            default="Table",
            required=True,
            key="next_tokens_as",
            label_visibility="collapsed",
        )
        == "Chart"
    )

    def typed(token: Token) -> bool:
        return can_be_typed(token, study.model.encoder)

    longest = max(top[0].prob for top in rows.values())
    widths = [7 if name == "patched" else 5 for name in rows]  # of the most columns
    for column, (name, top) in zip(st.columns(widths), rows.items(), strict=True):
        with column:
            st.markdown(f"**{name.title()} run**")
            if as_chart:
                st.plotly_chart(
                    run_figures.bars(top[:TOP], colours.RUNS[name], longest),
                    key=f"bars_{name}",
                    config={"displayModeBar": False},
                )
            else:
                of = moves if name == "patched" else ()
                html.show(tables.next_tokens(top, name, result.target, result.foil, typed, of))
                if of:
                    html.show(html.caption(_MOVED.format(unpatched=result.unpatched)))


def followed(on: Shelf, study: Study, experiment: Experiment, result: Result) -> None:
    """What became of the chosen patch, if it is one of the residual stream and a person asks."""
    at = selected(result)
    if at is None or experiment.site != "resid_post" or experiment.window:
        return
    st.subheader("What became of the patch?")
    if not st.toggle("Follow it through the layers", key="follow"):
        return
    what = "trace", experiment.sweep, at, result.target.id, result.foil.id

    def make() -> Job:
        heads = replace(study.plan, site_name="head_z", embedding=False)
        seconds = study.plain.seconds_for(heads.work)
        return Job(lambda: study.trace(at, experiment), seconds, sum(heads.memory))

    job = on.keep(experiment.texts, what, make)
    if not running.drive(job):
        return
    trace = job.result
    rows = (EMBEDDING, *map(str, range(result.model.layers)))
    lines, readers = st.columns(2, gap="large")
    with lines:
        st.markdown(
            "**Layer by layer**: the logit difference if the model ended there (logit lens at the"
            " last position)."
        )
        st.plotly_chart(
            run_figures.trace_lines(trace, rows, result.unpatched, result.other),
            key="trace_lines",
        )
        if trace.parts:
            st.markdown("**Which part of the layer carries it?**")
            html.show(tables.parts_of(trace))
    with readers:
        st.markdown(
            "**Which heads read it?** What the logit difference changes by when one head’s output"
            " alone is as it is in the patched run."
        )
        change = (trace.readers - trace.base).cpu().numpy()
        st.plotly_chart(run_figures.heads_map(change), key="trace_readers")


@dataclass(frozen=True)
class File:
    """A file to take home: what its button says, what it is called, and how it is made when it is
    asked for."""

    label: str
    name: str
    make: Callable[[], str | bytes]
    of: Map | None = None  # the map that it is a picture of
    finding: Callable[[], str] | None = None  # what of it goes into a report, if not all

    @property
    def mime(self) -> str:
        return _TYPES[self.name.rpartition(".")[2]]


def file_row(*files: File) -> None:
    """A button for each file, which is made when it is asked for."""
    history.answered(next((file.of for file in files if file.of), None))
    for file in files:
        if file.mime == _TYPES["json"]:
            opened.beside(file.make)
    with st.container(horizontal=True):
        for file in files:
            st.download_button(
                file.label,
                file.make,
                file.name,
                file.mime,
                key=f"download_{file.label}_{file.name}",
                on_click="ignore",
                icon=":material/download:",
            )
        for file in files:
            if file.mime == _TYPES["json"]:
                label = f"Add to the report{file.label.removeprefix('JSON')}"
                notebook.offer(file.name, label, file.finding or file.make, look.view())
    for file in files:
        if told := notebook.says(file.name):
            html.show(told)


def typed_file(file: File, make: str) -> None:
    """A file of what a person types. A click on a download would fetch what was there before the
    words typed last; so a button `make`s it first, which takes them along, and it is offered until
    something changes."""
    content = file.make()
    digest = hashlib.sha256(content.encode()).hexdigest()
    key = f"typed_{make}"
    if st.session_state.get(key) != digest:
        if not st.button(make, type="primary"):
            return
        st.session_state[key] = digest
        st.rerun()
    name = f"download_{file.label}"
    icon = ":material/download:"
    st.download_button(
        file.label, content, file.name, file.mime, key=name, on_click="ignore", icon=icon
    )


def downloads(study: Study, experiment: Experiment, shown: Result) -> None:
    """The files: pictures of the map that is `shown`, as it is viewed and as in an assignment,
    and the numbers of the whole experiment under every metric. Where a cell is chosen, its
    patched run is among them."""

    at, view, guessed = (
        selected(shown),
        look.view(),
        predict.said(shown),
    )  # now: files are made where there is no session

    def chosen() -> exports.Chosen | None:
        if at is None:
            return None
        beyond = () if shown.at_position is None else (shown.at_position,)
        return exports.Chosen(*at, study.patched_next_tokens((*at, *beyond)))

    def whole() -> Result:
        return study.read(experiment)

    def on_it() -> Result:
        """Of three axes what the map shows."""
        return whole() if shown.at_position is None else whole().at(shown.at_position)

    name = names.stem(shown)
    file_row(
        *pictures(shown, view),
        File("CSV: grid", f"{name}-grid.csv", lambda: exports.grid_csv(whole())),
        File("CSV: layers", f"{name}-matrix.csv", lambda: exports.matrix_csv(shown)),
        File("CSV: top 20", f"{name}-top20.csv", lambda: exports.top_csv(shown, chosen())),
        File(
            "JSON",
            f"{name}.json",
            lambda: exports.to_json(whole(), shown, chosen(), guessed),
            finding=lambda: exports.to_json(on_it(), shown, chosen(), guessed),
        ),
    )
    if view != "assignment":
        with st.popover("As in the assignment", icon=":material/download:"):
            st.caption("The layers alone, foil - target, one scale from dark to light.")
            file_row(*pictures(shown, "assignment"))
    with st.expander("Show me the code", icon=":material/code:"):
        _program(study, experiment, shown)


def _program(study: Study, experiment: Experiment, shown: Result) -> None:
    """The code behind the map, to read and to run without this app."""
    way = st.segmented_control(
        "The code", code.WAYS, default="plain", format_func=code.WAYS.get, required=True, key="code"
    )
    cells = getattr(code, way)(experiment, study.model, shown.at_position)
    name = names.stem(shown, "code", way)
    file_row(
        File("Python file", f"{name}.py", lambda: code.script(cells)),
        File("Notebook", f"{name}.ipynb", lambda: code.notebook(cells)),
    )
    st.code(code.script(cells), language="python")


def pictures(shown: Result, view: str = "effect") -> list[File]:
    """A map as it is on a page, in each format."""
    name = names.stem(shown, *([view] if view != "effect" else []))
    return [
        File(format.upper(), f"{name}.{format}", partial(_picture, shown, format, view), shown)
        for format in ("png", "svg", "pdf")
    ]


def _picture(result: Result, format: str, view: str) -> bytes:
    from core.views.pictures import picture  # only here: matplotlib takes half a second to import

    return picture(result, format, view)


def take_click(rows: tuple[str, ...]) -> None:
    """Choose the cell that was clicked on the map, as a callback."""
    points = st.session_state[CHART].selection.points
    if points:
        row, column, *_ = points[0]["customdata"]
        look.choose(rows[int(row)], int(column))


def _clear() -> None:
    look.choose(None, None)
