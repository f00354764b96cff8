"""The page "Components": which part of a layer carries the answer, and which head moved it."""

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from core.question import places
from core.question.experiment import SIDES, Experiment
from core.question.sites import SITES
from core.result import Result
from core.steps import once
from core.study import Study
from core.views import exports, names, run_files
from core.views.run_figures import attention_map
from core.views.sentences import does_most
from pages.parts import answer, frame, html, inputs, onward, predict, running, tables, training
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

_STREAM_AND_PARTS = ("resid_post", "attn_out", "mlp_out")


def page() -> None:
    given = frame.given()
    inputs.choices(given, "metric", "direction")
    with st.container(horizontal=True, vertical_alignment="center"):
        training.switch()
        predict.switch("Hide the map of heads until you have said what you expect of it.")
    training.panel(wide=True)
    if given:
        with frame.answer_part("rest"):
            _components(replace(given[0], embedding=False, window=0), given[1])


def _components(wanted: Experiment, on: Shelf) -> None:
    st.markdown(
        "The residual stream map says **where** the answer sits. Patching what attention and MLP"
        " add to the stream says **which of them put it there**; patching single heads says"
        " **which head moved it**."
    )
    results = []
    for site in _STREAM_AND_PARTS:
        if (answered := frame.swept(replace(wanted, site=site), on)) is None:
            return
        results.append(answered[1])
    html.show(html.text(does_most(*results[1:])))
    for column, result in zip(st.columns(len(results)), results, strict=True):
        with column:
            st.markdown(f"**{SITES[result.experiment.site].title}** (`{result.experiment.site}`)")
            site = result.experiment.site
            with st.container(key=f"keeps_{site}"):  # a picture of it while it is drawn (page.js)
                answer.still_heatmap(result, key=f"map_{site}", beside=results)

    st.subheader("Heads")
    st.markdown("Each cell patches one head’s output at all positions. Click a head.")
    if (answered := frame.swept(replace(wanted, site="head_z"), on)) is None:
        return
    study, heads = answered
    if predict.hides(heads.experiment):
        predict.explain()
        predict.ask(heads, answer.narrowest())
        html.show(tables.baselines(heads))
        return
    chart = st.container(key="keeps_heads")
    surprises = predict.came_out(heads)
    with chart:
        html.show(html.text(does_most(heads)))
        answer.heatmap(heads, surprises)
    if at := answer.selected(heads):
        onward.from_cell(heads, at, heads.experiment, places.of_cell(heads.experiment, at))
    html.show(tables.baselines(heads))
    answer.chosen(heads)
    if at:
        _attention(study, *at)
    with st.expander("A quick preview by attribution patching"):
        _preview(on, study, heads)
    _all_of_it([*results, heads])
    with st.container(horizontal=True):
        _downloads(study, [*results, heads])


def _attention(study: Study, layer: int, head: int) -> None:
    """Where a head looks, on both runs."""
    st.subheader(f"Where head {head} of layer {layer} reads")
    for column, side in zip(st.columns(2), SIDES, strict=True):
        with column:
            tokens = study.plain.tokens[side]
            pattern = study.plain.attention(side, layer, head)
            st.markdown(f"**{side.title()} run**: each row is a position, and what it reads")
            st.plotly_chart(attention_map(pattern, tokens), key=f"attention_{side}")
            best = np.argsort(-pattern[-1], kind="stable")[:5]
            st.markdown("From the last position:")
            st.dataframe(
                {
                    "position": best.tolist(),
                    "token": [tokens[p].label for p in best],
                    "weight": pattern[-1][best].tolist(),
                },
                hide_index=True,
                column_config={"weight": st.column_config.NumberColumn(format="%.4f")},
            )


def _all_of_it(results: list[Result]) -> None:
    """Every map in one file."""
    by_site = {result.experiment.site: result for result in results}
    name = f"{names.stem(results[0], 'components')}.json"
    guessed = {"head_z": predict.said(by_site["head_z"])}
    make = partial(exports.maps_json, "components", by_site, guessed)
    answer.file_row(answer.File("JSON", name, make))


def _downloads(study: Study, results: list[Result]) -> None:
    """Every map as a picture and its numbers, and of a chosen head where it reads."""
    for result in results:
        site = result.experiment.site
        grid = f"{names.stem(result)}-grid.csv"
        with st.popover(site, icon=":material/download:"):
            numbers = answer.File("CSV: grid", grid, partial(exports.grid_csv, result))
            answer.file_row(*answer.pictures(result), numbers)
    if (chosen := answer.selected(results[-1])) is not None:
        layer, head = chosen
        files = []
        for side, tokens in study.plain.tokens.items():
            name = names.stem(results[-1], "attention", f"layer{layer}", f"head{head}", side)
            pattern = study.plain.attention(side, layer, head)
            make = partial(run_files.attention_csv, pattern, tokens)
            files.append(answer.File(f"CSV: attention, {side} run", f"{name}.csv", make))
        answer.file_row(*files)


def _preview(on: Shelf, study: Study, exact: Result) -> None:
    st.markdown(
        "Two forward passes and a backward one estimate the map of heads: gradient times the"
        " difference of activations. It is an estimate, good for heads; for the residual stream"
        " and the MLPs it is known to mislead (published correlations with the exact map are 0.73"
        " and 0.44), so it is not offered there."
    )
    if exact.other is None:
        html.show(html.note("A preview needs two runs, and an ablation has one."))
        return
    if not st.toggle("Show the preview", key="preview"):
        return
    asked = exact.experiment
    job = on.keep(
        asked.texts,
        ("preview", asked.sweep, exact.target.id, exact.foil.id),
        lambda: Job(
            lambda: once(lambda: study.head_preview(asked)),
            study.plain.seconds_for(3 * study.plain.work),  # a backward pass takes two forward ones
            3 * study.plain.nbytes,
        ),
    )
    if not running.drive(job):
        return
    estimate = job.result
    # The preview is of the logit difference, whatever the metric.
    shown = replace(
        exact,
        experiment=replace(exact.experiment, metric="logit_diff"),
        grids={"logit_diff": estimate},
    )
    answer.still_heatmap(shown, key="map_preview")
    correlation = np.corrcoef(estimate.ravel(), exact.grids["logit_diff"].ravel())[0, 1]
    st.markdown(f"Correlation with the exact map of logit differences: **{correlation:.3f}**")


page()
