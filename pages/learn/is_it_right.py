"""The page "Is it right?": our numbers against plain runs, and against published ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import streamlit as st

from core.checks import plain_loop, verify
from core.checks.verify import Check
from core.engine import work
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.study import Study
from core.views import colours, heatmaps
from pages.parts import answer, experiment, frame, html, keeping, running, tables
from pages.parts.jobs import Job, State
from pages.parts.keeping import Shelf

_BOTH_WAYS = ("denoise", "noise")


@dataclass(frozen=True)
class Past:
    """The checks of a model as they came out last, and when."""

    checks: tuple[Check, ...]
    at: datetime


def page() -> None:
    st.header("Is it right?")
    st.markdown(
        "The app shares all work between patched runs. Here that is held against runs that share"
        " nothing, against what must be true of patching whatever the weights are, and, for GPT-2"
        " small, against numbers that others have published."
    )
    wanted = experiment.current()
    on = frame.model_of(wanted)
    published = verify.announced()
    if on is not None:
        published = _checks(on) or published
        _three_maps(on, wanted)
    if verify.is_published_for(wanted.model):
        st.subheader("Published for GPT-2 small")
        _published(published)
    else:
        with st.expander("Published for GPT-2 small: choose that model to run it"):
            _published(published)


def _checks(on: Shelf) -> list[Check]:
    """The last run of all checks, or the first if there was none. Gives those that are held against
    what others have published, if they have been made."""
    model, past = on.model, keeping.checks_of(*_version(on.model))
    last = past[-1] if past else None

    def make() -> Job:
        done: list[Check] = []
        operations, memory = verify.estimate(model)
        device = model.gpt.lm_head.weight.device.type
        seconds = work.seconds_for(operations, device)
        again = last is not None
        return Job(lambda: _checking(model, past, last, done), seconds, memory, done, asked=again)

    job = on.keep(None, ("checks", last and last.at), make)
    if last and job.state is State.ASKS:
        with st.container(horizontal=True, vertical_alignment="center"):
            run = [check for check in last.checks if not check.skipped]
            passed = f"{sum(check.passed for check in run)} of {len(run)} checks passed"
            st.markdown(f"**{passed}** on this server, {last.at:%d %B %Y, %H:%M %Z}.")
            running.button("Check again", "go", job, icon=":material/refresh:")
        _own(last.checks)
        return [check for check in last.checks if check.published]
    place = st.empty()

    def show_so_far(fraction: float) -> None:
        with place.container():
            _own(job.of)

    finished = running.drive(job, show_so_far)
    place.empty()
    return _checks(on) if finished else []


def _checking(
    model: LoadedModel, past: list[Past], last: Past | None, done: list[Check]
) -> Iterator[float]:
    """All checks of a model in steps; those made so far are `done`, and in the end they are the
    last of the `past`. Nothing is done if another session has been quicker than this one."""
    if past and past[-1] is not last:
        return
    done.clear()
    for check in verify.checks(model):
        done.append(check)
        yield len(done) / verify.number_of_checks()
    past[:] = [Past(tuple(done), datetime.now().astimezone())]


def _version(model: LoadedModel) -> tuple[str, str, str]:
    return model.card.name, model.card.fingerprint, model.card.dtype


def _own(checks: tuple[Check, ...]) -> None:
    """What must hold for any weights."""
    own = [check for check in checks if not check.published]
    st.dataframe(
        {
            "": [_verdict(check) for check in own],
            "check": [check.title for check in own],
            "numbers": [check.compared for check in own],
            "ours": [check.skipped or f"{check.ours:.6g}" for check in own],
            "theirs": ["" if check.skipped else f"{check.theirs:.6g}" for check in own],
            "apart": ["" if check.skipped else f"{check.difference:.1e}" for check in own],
            "at most": [f"{check.tolerance:.0e}" for check in own],
            "held against": [check.source for check in own],
        },
        hide_index=True,
        height="content",
    )
    st.caption("Ours and theirs are the two numbers that are farthest apart.")


def _published(checks: list[Check]) -> None:
    """What others have published for GPT-2 small, and what came out here if it was run."""
    st.dataframe(
        {
            "": [_verdict(check) for check in checks],
            "check": [check.title for check in checks],
            "published": [check.published for check in checks],
            "ours": [_ours(check) for check in checks],
            "source": [check.source for check in checks],
        },
        hide_index=True,
        height="content",
    )


def _ours(check: Check) -> str:
    if check.skipped:
        return check.skipped
    return (
        f"at worst {check.ours:.6g} for {check.theirs:.6g}, {check.difference:.1e} apart (at most"
        f" {check.tolerance:.0e})"
    )


def _verdict(check: Check) -> str:
    return "" if check.skipped else "yes" if check.passed else "NO"


def _three_maps(on: Shelf, wanted: Experiment) -> None:
    """The experiment's map by the sweep, by plain runs, and how far apart the two are."""
    st.subheader("Your experiment, both ways")
    direction = wanted.direction if wanted.direction in _BOTH_WAYS else "denoise"
    asked = replace(wanted, site="resid_post", embedding=False, window=0, metric="logit_diff")
    asked = replace(asked, direction=direction)
    for problem in frame.read(asked, on).problems.values():
        html.show(html.problem(str(problem)))
        return
    if (swept := frame.swept(asked, on)) is None:
        return
    study, result = swept
    ids, model = study.plain.ids, on.model
    tokens = result.target.id, result.foil.id
    job = on.keep(
        asked.texts,
        ("plain loop", asked.direction, tokens),
        lambda: Job(
            lambda: plain_loop.logit_differences(
                model.gpt, ids[result.unpatched], ids[result.other], *tokens
            ),
            _seconds(study),
            study.plain.nbytes + study.plain.logits_bytes,
        ),
    )
    if not running.drive(job):
        return
    plain = replace(result, grids={"logit_diff": job.result})
    apart = float(np.abs(result.values - plain.values).max())
    html.show(tables.about(result))
    sweep, loop, difference = st.columns(3)
    with sweep:
        st.markdown("**The app’s sweep**")
        answer.still_heatmap(result, key="sweep", beside=[plain])
    with loop:
        st.markdown(f"**{result.values.size:,} plain runs**")
        answer.still_heatmap(plain, key="loop", beside=[result])
    with difference:
        st.markdown(f"**Difference: at most {apart:.1e}**")
        figure = heatmaps.difference(result, plain, colours.reach(result))
        st.plotly_chart(figure, key="difference")
    st.caption("A colour is the same distance from no effect in all three.")


def _seconds(study: Study) -> float:
    """About how long one plain run for each cell takes: with few tokens the weights have to be read
    anyway, so that one run takes about as long as both plain runs in one pass did; but it makes the
    logits of every position."""
    plain, layers = study.plain, study.model.card.layers
    logits = plain.seconds_for(plain.lens_work // (2 * (layers + 1)))
    return layers * plain.T * (plain.seconds + logits)


page()
