"""Getting a model that is not on this machine: what it takes, and doing so when a person asks."""

import os

import streamlit as st

from core import catalogue, delivery
from core.catalogue import Entry
from core.delivery import Delivery, PublishedFile
from core.engine import work
from core.errors import UserError
from core.views import words
from pages.parts import experiment, html

# What of the session names the model that is being downloaded, until it is here or given up.
_UNDER_WAY = "download_under_way"
_FAILED = "download_failed"  # and of which the last one failed, with why
# Bytes per second of the last download, by whomever; empty until there was one.
_last_rate: list[float] = []
_EXAMPLE_RATE = 10e6  # bytes per second, to give an idea where no download has been measured


def offer(entry: Entry) -> None:
    """Say what is missing, and download it on a click; a rerun of the page goes on with it. Where
    all files are here, if not in one place, there is nothing to ask. Of a repository that is not
    known yet the hub is asked first, on a click as well: no link makes a request by itself."""
    if entry.refusal:
        html.show(html.problem(f"{entry.refusal} Its weights were not downloaded."))
        _teaching_instead()
        return
    if entry.release is None:
        _ask_first(entry)
        return
    try:
        needs = delivery.delivery(entry)
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    missing = entry.missing_bytes
    failed = st.session_state.get(_FAILED, {}).get(entry.name)
    under_way = st.session_state.get(_UNDER_WAY) == entry.name or not (missing or failed)
    too_full = missing > needs.free
    # Whatever state it is in has the same elements in the same places: what is drawn next takes
    # the place of what was there at once, and nothing of a download that failed is left.
    said = st.empty()
    with st.container(horizontal=True):
        label = "Try again" if failed else f"Download {missing / 1e6:,.0f} MB"
        st.button(
            "Cancel the download" if under_way else label,
            "download",
            on_click=_set_under_way,
            args=(None if under_way else entry.name,),
            type="primary",
            disabled=too_full and not under_way,
        )
        _teaching_instead()
    with st.expander("Bring the files on a stick instead"):
        _by_hand(needs)
    if under_way:
        _download(entry, said.progress(0.0, text="Connecting…"))
    with said:
        if too_full:
            html.show(_too_full(missing, needs))
        else:
            html.show(html.problem(failed) if failed else _what(entry, needs))


def offer_again(entry: Entry) -> None:
    """Where a model cannot be loaded and its files may be why: remove them and download them anew,
    on a click."""
    if failed := st.session_state.get(_FAILED, {}).get(entry.name):
        html.show(html.problem(failed))
    if delivery.can_fetch_again(entry):
        st.button("Download it again", on_click=_again, args=(entry,), type="primary")


def _again(entry: Entry) -> None:
    _set_under_way(entry.name)
    try:
        delivery.fetch_again(entry)
    except UserError as error:
        st.session_state[_FAILED] = {entry.name: str(error)}


def _ask_first(entry: Entry) -> None:
    failed = st.session_state.get(_FAILED, {}).get(entry.name)
    said = st.empty()
    with st.container(horizontal=True):
        if st.button("Try again" if failed else "Ask the hub about it", "ask", type="primary"):
            st.session_state[_FAILED] = {}
            with said, st.spinner("Asking…"):
                try:
                    delivery.ask(entry)
                except UserError as error:
                    st.session_state[_FAILED] = {entry.name: str(error)}
            st.rerun()
        _teaching_instead()
    with said:
        html.show(
            html.problem(failed)
            if failed
            else html.note(
                f"{entry.title} is a repository of the hub that is not on this machine. First"
                f" {catalogue.hub_site()} is asked which commit that is, which files make the model"
                " and how large they are; its configuration tells whether it is a GPT-2. Nothing"
                " more is downloaded before you say so again. What you have typed stays."
            )
        )


def _teaching_instead() -> None:
    st.button(
        "Use the teaching model, keep the texts",
        on_click=_use_teaching,
        icon=":material/school:",
    )


def _what(entry: Entry, needs: Delivery) -> str:
    """What a download takes, as a note."""
    megabytes = entry.missing_bytes / 1e6
    rate, whose = _EXAMPLE_RATE, ""
    if measured := _last_rate:
        rate, whose = measured[0], ", the rate of the last download"
    free = work.available_memory()
    of_free = "" if free is None else f" (free: {free / 1e9:,.1f} GB)"
    commit = f", commit {entry.release.revision}," if entry.is_repository else ""
    return html.note(
        f"{entry.title}{commit} is not on this machine yet. Download, once: {megabytes:,.0f} MB,"
        f" about {words.duration(entry.missing_bytes / rate)} at {rate / 1e6:,.1f} MB/s{whose}."
        f" Disk: {needs.free / 1e9:,.1f} GB free. Memory when it runs: {entry.memory / 1e9:,.0f} GB"
        f"{of_free}. What you have typed stays."
    )


def _too_full(missing: int, needs: Delivery) -> str:
    return html.problem(
        f"The disk is too full: {needs.folder} needs {missing / 1e6:,.0f} MB and has"
        f" {needs.free / 1e6:,.0f} MB left. Free some space, or start the server with"
        " PATCHBOARD_CACHE set to a folder on another disk."
    )


def _download(entry: Entry, bar) -> None:
    """Download it, and run the page anew, with the model or with why there is none."""

    def draw(progress) -> None:  # interrupted here by a click, the download stops and can resume
        if progress.rate:
            _last_rate[:] = [progress.rate]
        so_far = f"{progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
        left = "" if progress.seconds_left is None else f", {progress.seconds_left:,.0f} s left"
        bar.progress(
            min(1.0, progress.done / progress.total),
            text=f"{so_far}, {progress.rate / 1e6:.1f} MB/s{left}"
            if progress.rate
            else f"Connecting… {so_far}",
        )

    try:
        delivery.download(entry, draw)
    except UserError as error:
        st.session_state[_FAILED] = {entry.name: str(error)}
    st.session_state[_UNDER_WAY] = None
    st.rerun()


def _by_hand(needs: Delivery) -> None:
    """How to bring the files without a network; no path or name of it is ever markup."""
    st.markdown("**1.** On a machine with internet, download these files, and keep their names:")
    st.code("\n".join(file.address for file in needs.files), language=None, wrap_lines=True)
    st.dataframe(
        {
            "file": [file.name for file in needs.files],
            "bytes, about": [f"{file.size:,}" for file in needs.files],
            "there": [_there(file) for file in needs.files],
        },
        hide_index=True,
    )
    st.markdown("**2.** Copy them into this folder of this server; make it if it is not there:")
    st.code(str(needs.folder), language=None, wrap_lines=True)
    st.markdown("**3.** Then:")
    st.button("Look again")  # a click runs the page anew, which looks for the files
    st.markdown(
        "Or keep them in a folder of any name below the directory that the environment variable"
        f" `{catalogue.FOLDERS_VARIABLE}` names when the server starts: the list of models then has"
        " it as `local/` and its name."
    )
    if directory := os.environ.get(catalogue.FOLDERS_VARIABLE):
        st.code(directory, language=None, wrap_lines=True)


def _there(file: PublishedFile) -> str:
    if file.is_here:
        return "yes"
    return f"another one, of {file.bytes_here:,}" if file.bytes_here else "not yet"


def _set_under_way(name: str | None) -> None:
    st.session_state[_UNDER_WAY] = name
    st.session_state[_FAILED] = {}


def _use_teaching() -> None:
    _set_under_way(None)
    experiment.enter("model", catalogue.TEACHING.name)
