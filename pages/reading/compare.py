"""The page "Compare": sufficient beside necessary, and any pinned result beside the present one."""

from dataclasses import replace
from functools import partial

import streamlit as st

from core.question.experiment import DIRECTIONS, Experiment
from core.result import Result
from core.views import exports, names
from core.views.heatmaps import difference
from pages.parts import answer, frame, html, inputs, tables
from pages.parts.keeping import Shelf

_PINNED = "pinned"  # what of the session holds the pinned experiment
_OPPOSITES = ("denoise", "noise")


def page() -> None:
    given = frame.given()
    inputs.choices(given, "metric", "site")
    if given:
        with frame.answer_part("rest"):
            _answer_both_ways(*given)


def _answer_both_ways(wanted: Experiment, on: Shelf) -> None:
    st.subheader("Sufficient and necessary")
    st.markdown(
        "**Denoising** asks which activation is *sufficient* to bring the clean answer back,"
        " **noising** which is *necessary* to keep it. A cell that shows on the left alone has a"
        " copy elsewhere; one that shows on the right alone needs others beside it."
    )
    both = [_answer(replace(wanted, direction=name), on) for name in _OPPOSITES]
    if None in both:
        return
    beyond = answer.beyond(both[0].axes, {"clean": both[0].clean, "corrupted": both[0].corrupted})
    maps = [answer.one_map(result, beyond) for result in both]
    _side_by_side(maps, [DIRECTIONS[name].title for name in _OPPOSITES], key="opposites")
    _download(both, _OPPOSITES)

    st.subheader("Beside a pinned result")
    st.button("Pin the present result", on_click=_pin, args=(wanted,), icon=":material/keep:")
    pinned = st.session_state.get(_PINNED)
    if pinned in (None, wanted):
        html.show(
            html.note(
                f"{'The present result is pinned' if pinned else 'Nothing is pinned yet'}. Pin a"
                " result, then change the texts, the metric, the site or the model, or choose"
                " another example: both maps then stand here side by side."
            )
        )
        return
    its_model = on if pinned.model == wanted.model else frame.model_of(pinned)
    if its_model is None:
        return
    results = [_answer(pinned, its_model), _answer(wanted, on)]
    if None in results:
        return
    # Of heads by position, the map of the last one.
    one, other = (result if len(result.axes) == 2 else result.at(-1) for result in results)
    _side_by_side([one, other], ["Pinned", "Present"], key="beside")
    if one.values.shape == other.values.shape and pinned.metric == wanted.metric:
        st.markdown("**Present - pinned**")
        st.plotly_chart(difference(other, one), key="difference")
        plain = [getattr(of.baselines[wanted.metric], of.unpatched) for of in (other, one)]
        st.caption(
            f"The runs patched into, {plain[0]:z.4f} and {plain[1]:z.4f}, differ by themselves: a"
            f" cell that neither patch changes shows {plain[0] - plain[1]:z.4f}."
        )
    else:
        html.show(html.note("A difference takes two maps of one size under one metric."))
    if (results[0].axes, results[0].values.shape) == (results[1].axes, results[1].values.shape):
        _download(results, ("pinned", "present"))


def _side_by_side(results: list[Result], titles: list[str], key: str) -> None:
    same_metric = len({result.experiment.metric for result in results}) == 1
    shared = results if same_metric else ()
    for column, title, result in zip(st.columns(2), titles, results, strict=True):
        with column:
            st.markdown(f"**{title}**")
            html.show(tables.about(result))
            answer.still_heatmap(result, key=f"{key}_{title}", beside=shared)


def _download(results: list[Result], called: tuple[str, str]) -> None:
    """Both maps as pictures, if they have two axes, and both grids with their difference."""
    name = f"{names.stem(results[-1], *called)}.csv"
    numbers = answer.File("CSV: both", name, partial(exports.compared_csv, *results, called))
    pictures = [
        replace(file, label=f"{file.label}: {which}")
        for which, result in zip(called, results, strict=True)
        for file in answer.pictures(result)
        if len(result.axes) == 2
    ]
    both = dict(zip(called, results, strict=True))
    name = f"{names.stem(results[-1], *called)}.json"
    answer.file_row(
        *pictures, numbers, answer.File("JSON", name, partial(exports.maps_json, "compare", both))
    )


def _answer(wanted: Experiment, on: Shelf) -> Result | None:
    swept = frame.swept(wanted, on)
    return None if swept is None else swept[1]


def _pin(wanted: Experiment) -> None:
    st.session_state[_PINNED] = wanted


page()
