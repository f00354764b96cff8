"""The page "Is it right?": our numbers against plain runs, and against published ones."""

import streamlit as st

from core.checks import verify
from core.checks.verify import Check
from core.errors import UserError
from core.models import named
from pages.parts import download, experiment, html, running

_CHECKED = "checked"  # what of the session holds (model name, its checks)


def page() -> None:
    st.header("Is it right?")
    st.markdown(
        "The sweep shares all work between patched runs. These checks hold it against runs that"
        " share nothing, against what must be true of patching whatever the weights are, and, for"
        " GPT-2 small, against numbers that others have published."
    )
    entry = named(experiment.current().model)
    if entry.location is None:
        download.offer(entry)
        return
    if st.button(f"Check {entry.title}", type="primary"):
        try:
            model = running.load(entry.name)
        except UserError as error:
            html.show(html.problem(str(error)))
            return
        done, place = [], st.empty()
        for check in verify.checks(model):
            done.append(check)
            with place.container():
                _show(done)
        st.session_state[_CHECKED] = (entry.name, done)
        return
    name, done = st.session_state.get(_CHECKED, (None, []))
    if name == entry.name:
        _show(done)


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
