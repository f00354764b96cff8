"""What came out: the baselines, the map, a cell's story, the next-token tables, the files."""

from functools import partial

import streamlit as st

from core import exports, figures
from core.experiment import Experiment
from core.result import Moved, Ranked, Result
from core.study import Study
from pages.parts import html

CHART = "heatmap"
HOVERED = ("logit_diff", "recovery")  # what a hover shows besides the experiment's own metric
_MODEBAR = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
_CHANGE = "Places gained over the run that was patched into."
_COLUMNS = (
    "rank", "change", "id", "token", "logit", "probability", "clean rank", "corrupted rank",
)  # fmt: skip


def heatmap(result: Result) -> None:
    """The map, to hover and click."""
    st.plotly_chart(
        figures.heatmap(result, selected(result)),
        key=CHART,
        on_select=_take_click,
        selection_mode="points",
        config=_MODEBAR,
        alt="Heatmap of the metric by what was patched; its numbers are in the CSV file.",
    )


def still_heatmap(result: Result, key: str, reach: float | None = None) -> None:
    """The map, to hover only: an unfinished one, or one among others or in a text."""
    st.plotly_chart(figures.heatmap(result, reach=reach), key=key, config=_MODEBAR)


def numbers(result: Result) -> None:
    """The two plain runs, and the chosen cell: chosen by a click on the map, or here."""
    plain, chosen = st.columns((5, 6), gap="large")
    with plain:
        html.show(html.baselines(result))
    with chosen:
        _cell(result)


def beyond(result: Result) -> tuple[int, ...]:
    """What of a cell's index lies beyond a map of two axes: for a result by layer, head and
    position the position, which a slider chooses."""
    if len(result.axes) == 2:
        return ()
    last = len(result.clean) - 1
    if "map_position" not in st.session_state or st.session_state.map_position > last:
        st.session_state.map_position = last
    position = st.slider("Position", 0, last, key="map_position") if last else 0
    html.show(html.tokens_at(result, position))
    return (position,)


def one_map(result: Result, beyond: tuple[int, ...]) -> Result:
    """The map of two axes to show."""
    return result.at(*beyond) if beyond else result


def _cell(result: Result) -> None:
    columns = result.values.shape[1]
    row, place = (st.session_state.get(key) for key in ("cell_row", "cell_column"))
    if row not in (None, *result.rows) or (place or 0) >= columns:  # chosen on a larger map
        _clear()
    layer, column, clear = st.columns((5, 5, 2), vertical_alignment="bottom")
    layer.selectbox("Layer", result.rows, index=None, key="cell_row", placeholder="click a cell")
    column.number_input(
        result.axes[1].title(),
        0,
        columns - 1,
        value=None,
        key="cell_column",
        placeholder="or type",
    )
    at = selected(result)
    clear.button("Clear", on_click=_clear, width="stretch", disabled=at is None)
    if at is not None:
        html.show(html.cell(result, *at))


def selected(result: Result) -> tuple[int, int] | None:
    """The chosen cell as (row, column), if it is on this map."""
    row, column = (st.session_state.get(key) for key in ("cell_row", "cell_column"))
    if row in result.rows and column is not None and column < result.values.shape[1]:
        return result.rows.index(row), column
    return None


def tables(study: Study, result: Result, beyond: tuple[int, ...]) -> None:
    """The likeliest next tokens of both plain runs, and of the chosen cell's between them."""
    at = selected(result)
    names = ["clean", "corrupted"] if at is None else ["clean", "patched", "corrupted"]
    colours = {"clean": figures.TOWARDS, "corrupted": figures.AWAY, "patched": figures.PATCHED}
    for column, name in zip(st.columns(len(names)), names, strict=True):
        with column:
            st.markdown(f"**{name.title()} run**")
            moves = study.story((*at, *beyond)) if name == "patched" else None
            top = tuple(move.now for move in moves) if moves else result.top[name]
            st.plotly_chart(
                figures.bars(top, colours[name]),
                key=f"bars_{name}",
                config={"displayModeBar": False},
            )
            st.dataframe(
                _table(top) | (_moves(moves) if moves else {}),
                hide_index=True,
                height="content",
                column_order=_COLUMNS,
                column_config={
                    "logit": st.column_config.NumberColumn(format="%.4f"),
                    "probability": st.column_config.NumberColumn(format="%.6f"),
                    "change": st.column_config.NumberColumn(format="%+d", help=_CHANGE),
                },
            )


def downloads(study: Study, experiment: Experiment, shown: Result) -> None:
    """The files, each made when it is asked for: pictures of the map that is `shown`, and the
    numbers of the whole experiment under every metric."""
    csv = partial(_whole, exports.grid_csv, study, experiment)
    json = partial(_whole, exports.to_json, study, experiment)
    files = (
        ("PNG", "heatmap.png", "image/png", partial(figures.picture, shown, "png")),
        ("SVG", "heatmap.svg", "image/svg+xml", partial(figures.picture, shown, "svg")),
        ("CSV: grid", "grid.csv", "text/csv", csv),
        ("CSV: top 20", "top20.csv", "text/csv", partial(exports.top_csv, shown)),
        ("JSON", "result.json", "application/json", json),
    )
    with st.container(horizontal=True):
        for label, name, mime, data in files:
            st.download_button(
                label,
                data,
                f"patchboard-{name}",
                mime,
                on_click="ignore",
                icon=":material/download:",
            )


def _whole(export, study: Study, experiment: Experiment) -> str:
    return export(study.read(experiment))


def _table(top: tuple[Ranked, ...]) -> dict[str, list]:
    return {
        "rank": [row.rank for row in top],
        "id": [row.token.id for row in top],
        "token": [row.token.label for row in top],
        "logit": [row.logit for row in top],
        "probability": [row.prob for row in top],
    }


def _moves(moves: tuple[Moved, ...]) -> dict[str, list]:
    return {
        "change": [move.risen for move in moves],
        "clean rank": [move.clean_rank for move in moves],
        "corrupted rank": [move.corrupted_rank for move in moves],
    }


def _take_click() -> None:
    points = st.session_state[CHART].selection.points
    if points:
        row, column, *_ = points[0]["customdata"]
        st.session_state.cell_row = st.session_state.job.study.rows[int(row)]
        st.session_state.cell_column = int(column)


def _clear() -> None:
    st.session_state.cell_row = st.session_state.cell_column = None
