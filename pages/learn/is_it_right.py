"""The page "Is it right?": our numbers against plain runs, and against published ones."""

import math
from collections.abc import Iterator

import streamlit as st

from core.checks import verify
from core.checks.verify import Check
from core.models import LoadedModel, named
from pages.parts import experiment, frame, html, running
from pages.parts.jobs import Job, State


def _checking(model: LoadedModel, done: list[Check]) -> Iterator[float]:
    """All checks of a model in steps; those made so far are `done`."""
    done.clear()
    for check in verify.checks(model):
        done.append(check)
        yield len(done) / verify.number_of_checks()


def page() -> None:
    st.header("Is it right?")
    st.markdown(
        "The sweep shares all work between patched runs. These checks hold it against runs that"
        " share nothing, against what must be true of patching whatever the weights are, and, for"
        " GPT-2 small, against numbers that others have published."
    )
    wanted = experiment.current()
    on = frame.model_of(wanted)
    if on is None:
        return

    model = on.model  # a job that held its shelf would keep an evicted model for a while

    def make() -> Job:
        done: list[Check] = []
        return Job(lambda: _checking(model, done), math.inf, of=done)

    job = on.keep(None, "checks", make)
    title = named(wanted.model).title
    if job.state is State.ASKS:
        html.show(html.note(f"{title} has not been checked yet."))
        st.button("Check it", on_click=job.go, type="primary")
        return
    place = st.empty()

    def show_so_far(fraction: float) -> None:
        with place.container():
            _show(job.of)

    if running.drive(job, show_so_far):
        show_so_far(1.0)


def _show(checks: list[Check]) -> None:
    run = [check for check in checks if not check.skipped]
    st.markdown(f"**{sum(check.passed for check in run)} of {len(run)} checks passed.**")
    st.dataframe(
        {
            "": ["✅" if check.passed else "❌" for check in run],
            "check": [check.title for check in run],
            "numbers": [check.compared for check in run],
            "ours": [check.ours for check in run],
            "theirs": [check.theirs for check in run],
            "apart": [f"{check.difference:.1e}" for check in run],
            "at most": [f"{check.tolerance:.0e}" for check in run],
            "held against": [check.source for check in run],
        },
        hide_index=True,
        height="content",
    )
    st.caption("Ours and theirs are shown where the two are farthest apart.")
    if skipped := [check for check in checks if check.skipped]:
        with st.expander(f"{len(skipped)} checks could not be run"):
            st.dataframe(
                {
                    "check": [check.title for check in skipped],
                    "why": [check.skipped for check in skipped],
                    "published in": [check.source for check in skipped],
                },
                hide_index=True,
                height="content",
            )


page()
