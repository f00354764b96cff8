"""The page "Sets": do some components together carry the answer, and does it fall without them?"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st

from core import catalogue, presets
from core.errors import UserError
from core.many.grades import ManyGrades
from core.many.grading import Grading
from core.question import components
from core.question.experiment import Experiment
from core.result import ENOUGH, ComponentMap, Curve, Grade
from core.sets import Set, Sets
from core.steps import Steps
from core.views import names, set_figures, set_files
from core.views.set_sentences import (
    TOTAL,
    caption,
    grown,
    many_caption,
    many_mean,
    means,
    share,
    spare,
)
from core.views.words import number
from pages.parts import (
    answer,
    continuing,
    frame,
    html,
    inputs,
    keeping,
    members,
    pairs,
    running,
    tables,
)
from pages.parts.jobs import Job, State
from pages.parts.keeping import Shelf

_STRONGEST, _NAME, _ORDER = "set_strongest", "set_name", "set_order"  # widgets
_TABLE, _MANY = "set_table", "set_many"
_MOST = 20  # components of a greedy search
_CURVE_EVERY = 0.8  # seconds
_ADDED = {"single": "The strongest alone first", "greedy": "Greedily: what adds most"}


def page() -> None:
    given = frame.given()
    inputs.choices(given, "metric", "direction")
    if given:
        with frame.answer_part("rest"):
            asked = replace(given[0], site="resid_post", embedding=False, window=0)
            if running.drive(keeping.plain_job(asked, given[1])):
                _sets(_Asked(asked, given[1]))


class _Asked:
    """What the page asks, and where its jobs are kept: those of one metric, target and foil."""

    def __init__(self, wanted: Experiment, on: Shelf):
        self.wanted, self.on = wanted, on
        plain = keeping.plain_runs(wanted, on)
        self.sets = Sets(wanted, on.model, plain)
        config = on.model.gpt.config
        self.sizes = config.n_layer, config.n_head, plain.T
        self.key = wanted.direction, wanted.metric, wanted.target, wanted.foil

    def job(self, what: tuple, begin: Callable[[], Steps], sets: list[Set], times: int = 1) -> Job:
        """One that runs about so many times what joint runs of `sets` take."""

        def make() -> Job:
            seconds, memory = self.sets.work(sets)
            return Job(begin, times * seconds, memory, of=self.sets)

        return self.on.keep(self.wanted.texts, (*what, *self.key), make)


def _sets(asked: _Asked) -> None:
    sets, everything = asked.sets, asked.sets.everything
    try:
        _ = sets.baselines  # a metric that cannot be measured is told once
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    place = st.container()
    job = asked.job(("singles",), sets.singles, [(of,) for of in everything])
    singles = job.result if running.drive(job) else None
    order = sets.order(singles) if singles else ()
    with place:
        chosen = _edit(asked, order)
    if singles:
        _maps(asked, singles, chosen or ())
    grade = _grade(asked, chosen) if chosen else None
    curve = _curve(asked, order) if singles else None
    if grade and singles:
        _downloads(grade, curve, singles)
    if chosen:
        continuing.show(asked.wanted, asked.on, chosen)
    if chosen or members.kept():
        st.subheader("Kept sets")
    if chosen:
        _keep()
    _compare(asked)
    if chosen:
        _over_pairs(asked)


def _edit(asked: _Asked, order: Set) -> Set | None:
    """The set as a text, and other ways to it; nothing, and why, where the text is none."""
    count = len(asked.sets.everything)
    members.fill_box()
    with st.container(horizontal=True, vertical_alignment="bottom", key="set_row"):
        st.text_input(
            "The set S",
            key=members.BOX,
            on_change=members.take_typed,
            placeholder="4.3 mlp0 resid3@8",
            help="Heads as 9.6, MLPs as mlp0, a layer’s whole attention as attn2, the residual"
            " stream after a layer as resid3 or before all as embedding; each also at one position,"
            " as resid3@8 or 9.6@-1. Or click cells of the maps.",
        )
        if st.session_state.setdefault(_STRONGEST, min(3, count)) > count:
            st.session_state[_STRONGEST] = count
        k = st.number_input("How many", 1, count, key=_STRONGEST, width=110)
        st.button(
            f"Take the {k} strongest",
            key="set_take_strongest",
            on_click=members.put,
            args=(components.write(order[:k]),),
            disabled=not order,
            help="Those that alone move the prediction most.",
        )
        st.button("Clear", key="set_clear", on_click=members.put, args=("",))
    try:
        chosen = asked.sets.parse(members.text())
    except UserError as error:
        html.show(html.problem(str(error)))
        return None
    if not chosen:
        html.show(
            html.note(
                "S is empty. Click cells of the maps to put components in and take them out, take"
                f" the strongest, or as many of those as reach {ENOUGH:.0%}, below."
            )
        )
    return chosen


def _maps(asked: _Asked, singles: ComponentMap, chosen: Set) -> None:
    left, right = st.columns(2, gap="medium")
    sizes = asked.sizes  # a callback that holds more would keep the model for as long as a session
    with left:
        st.markdown("**Heads and MLPs**, at all positions")
        with st.container(key="keeps_set_singles"):
            _clickable(
                "singles",
                set_figures.singles(singles, chosen),
                lambda *at: members.toggle(set_figures.single_of(singles, *at), sizes),
            )
    with right:
        st.markdown("**Residual stream**, after each layer at one position")
        if swept := frame.swept(replace(asked.wanted, embedding=True), asked.on):
            _, stream = swept
            with st.container(key="keeps_set_stream"):
                _clickable(
                    "stream",
                    set_figures.stream(stream, chosen),
                    lambda *at: members.toggle(set_figures.cell_of(stream, *at), sizes),
                )
    html.show(html.caption(TOTAL))


def _clickable(name: str, figure, take: Callable[[int, int], None]) -> None:
    key = f"set_{name}_{members.clicks()}"

    def clicked() -> None:
        if points := st.session_state[key].selection.points:
            row, column, *_ = points[0]["customdata"]
            take(int(row), int(column))

    st.plotly_chart(
        figure,
        key=key,
        on_select=clicked,
        selection_mode="points",
        config=answer.MODEBAR,
        alt="Heatmap of what each component does alone; a click puts it into the set or takes it"
        " out.",
    )


def _grading(asked: _Asked, chosen: Set) -> Job:
    sets = [chosen, *((of,) for of in chosen)]
    sets += [tuple(other for other in chosen if other != of) for of in chosen]
    what = "grade", components.write(chosen)
    return asked.job(what, lambda: asked.sets.grade(chosen), sets)


def _grade(asked: _Asked, chosen: Set) -> Grade | None:
    st.subheader("How much S carries")
    job = _grading(asked, chosen)
    if not running.drive(job):
        return None
    grade: Grade = job.result
    html.show(html.text(means(grade)))
    left, right = st.columns((6, 5), gap="medium")
    with left:
        html.show(tables.grades(grade))
    with right:
        html.show(html.text(spare(grade)))
        figure = set_figures.members(grade)
        st.plotly_chart(figure, key="set_figure_members", config=answer.MODEBAR)
    html.show(html.caption(caption(grade)))
    return grade


def _curve(asked: _Asked, order: Set) -> Curve | None:
    st.subheader("How few are enough?")
    how = st.segmented_control(
        "Add heads and MLPs one by one",
        _ADDED,
        format_func=_ADDED.get,
        default="single",
        required=True,
        key=_ORDER,
    )
    if how == "greedy":
        alone = [(of,) for of in order]
        begin = partial(asked.sets.greedy, order, _MOST, ENOUGH)
        job = asked.job(("greedy",), begin, alone, times=min(_MOST, len(order)))
    else:
        grown_sets = [order[:size] for size in range(len(order) + 1)]
        job = asked.job(("curve",), partial(asked.sets.curve, order, "single"), grown_sets)
    bar, place = st.container(), st.empty()

    def draw(curve: Curve, key: str) -> None:
        with place.container():
            html.show(html.text(grown(curve)))
            figure = set_figures.curve(curve)
            st.plotly_chart(figure, key=f"set_curve_{key}", config=answer.MODEBAR)

    def draw_partly(fraction: float) -> None:
        if job.of.growing:
            draw(job.of.growing, f"at_{fraction}")

    with bar:
        finished = running.drive(job, draw_partly, every=_CURVE_EVERY)
    curve = job.result if finished else None
    if how == "greedy" and job.state is State.STOPPED:
        curve = job.of.growing
    if curve is None:
        return None
    draw(curve, how)
    if size := curve.smallest():
        text = " ".join(curve.components[:size])
        label = f"Take this set of {size}"
        st.button(label, on_click=members.put, args=(text,), key="set_take", type="primary")
    return curve


def _keep() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name of this set", key=_NAME, placeholder="e.g. name movers", width=260)
        st.button("Keep it", key="set_keep", on_click=_take_name, icon=":material/keep:")


def _take_name() -> None:
    members.keep(st.session_state[_NAME])
    st.session_state[_NAME] = ""


def _compare(asked: _Asked) -> None:
    """Those kept, all graded on the texts and under the metric that stand above."""
    kept = members.kept()
    if not kept:
        return
    rows, graded = [], []
    for of in kept:
        row = {"name": of.name, "members": of.text}
        try:
            graded.append((row, _grading(asked, asked.sets.parse(of.text))))
        except UserError as error:
            row["sufficient"] = str(error)
        rows.append(row)
    for row, job in graded:
        if not running.drive(job):
            return
        metric = asked.wanted.metric
        for name, effect in job.result.asked.items():
            said = "none" if effect is None else number(metric, effect.value)
            row[name] = said if effect is None else f"{said} ({share(effect.share)})"
    st.dataframe(
        rows,
        key=_TABLE,
        on_select=lambda: _take_row(kept),
        selection_mode="single-row",
        hide_index=True,
    )
    html.show(html.caption("Select a row to make it the set again."))
    with st.container(horizontal=True):
        for of in kept:
            label = f"Forget {html.label(of.name)}"
            st.button(label, key=f"forget_{of.name}", on_click=members.forget, args=(of.name,))


def _take_row(kept: tuple[members.Kept, ...]) -> None:
    if rows := st.session_state[_TABLE].selection.rows:
        members.put(kept[rows[0]].text)


def _downloads(grade: Grade, curve: Curve | None, singles: ComponentMap) -> None:
    name = names.stem(grade)
    answer.file_row(
        *(
            answer.File(
                f"{kind.upper()}: the set", f"{name}.{kind}", partial(_picture, grade, curve, kind)
            )
            for kind in ("png", "svg")
        ),
        answer.File("CSV: the set", f"{name}.csv", partial(set_files.set_csv, grade, curve)),
        answer.File("JSON: the set", f"{name}.json", partial(set_files.set_json, grade, curve)),
        *(replace(of, label=f"{of.label}: each alone") for of in answer.pictures(singles)[:2]),
    )


def _picture(grade: Grade, curve: Curve | None, format: str) -> bytes:
    from core.views.set_pictures import picture  # only here: matplotlib takes half a second

    return picture(grade, curve, format)


def _over_pairs(asked: _Asked) -> None:
    st.subheader("On many pairs")
    if not st.toggle("Does it hold for many sentences?", key=_MANY):
        return
    left, right = st.columns((3, 7), gap="medium")
    with left:
        example = presets.of(asked.wanted)
        pairs.source(catalogue.named(asked.wanted.model), example.title if example else "")
    with right:
        given = pairs.given()
        if given is None:
            return
        question = replace(asked.wanted, clean="", corrupted="", target="", foil="")
        text = members.text()

        def make() -> Job:
            how = asked.on.model, question, text
            grading = Grading(given.pairs, given.dropped, *how, draws=given.draws)
            return Job(grading.run, *grading.estimate, of=grading, asked=True)

        try:
            what = "many grades", given.digest, question, text
            job = asked.on.keep(None, what, make)
        except UserError as error:
            html.show(html.problem(str(error)))
            return
        if not running.drive(job, label=f"Grade S on {len(job.of.pairs):,} pairs"):
            return
        found: ManyGrades = job.result
        html.show(html.text(many_mean(found)))
        html.show(tables.many_grades(found))
        html.show(html.caption(many_caption(found)))
        name = names.stem_of(
            question,
            "set",
            given.source,
            question.direction,
            question.metric,
            f"n{found.n}",
            known_by=(given.digest, text),
        )
        answer.file_row(
            answer.File("CSV: each pair", f"{name}.csv", partial(set_files.many_set_csv, found)),
            answer.File(
                "JSON: many pairs", f"{name}.json", partial(set_files.many_set_json, found)
            ),
        )


page()
