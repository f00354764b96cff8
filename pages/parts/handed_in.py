"""To check what a class handed in: its files, computed again, with what stands out first."""

from dataclasses import asdict

import streamlit as st

from core import catalogue
from core.worksheets.checking import Checking, stands_out, to_csv
from pages.parts import answer, html, keeping, making, running
from pages.parts.jobs import Job

_MOST = 200  # files


def show() -> None:
    """All of it."""
    given = st.file_uploader(
        "Files that were handed in: answers to a worksheet, or single maps",
        "json",
        accept_multiple_files=True,
        key="handed_in",
    )
    html.show(
        html.caption(
            "Every number is computed again on this server. Files stay in this session; for"
            " whole folders there is the command “python -m core check FOLDER”."
        )
    )
    if not given:
        return
    if len(given) > _MOST:
        html.show(html.problem(f"At most {_MOST} files at once, and these are {len(given)}."))
        return

    def make() -> Job:
        names = _apart([file.name for file in given])
        checking = Checking(zip(names, (file.getvalue() for file in given), strict=True))
        return Job(
            lambda: checking.check(making.load), *checking.estimate(making.load), of=checking
        )

    which = tuple(file.file_id for file in given)
    job = keeping.shelf(catalogue.TEACHING.name).keep(None, ("handed in", which), make)
    if not running.drive(job, label="Check them"):
        return
    rows = sorted(job.result, key=lambda row: not stands_out(row))
    number = len({row.file for row in rows if stands_out(row)})
    says = f"{len(given)} file{'s' * (len(given) > 1)}; {number} to look at first"
    html.show((html.doubt if number else html.note)(f"{says}."))
    st.dataframe([asdict(row) for row in rows], hide_index=True)
    answer.file_row(answer.File("CSV", "patchboard-checked.csv", lambda: to_csv(rows)))


def _apart(names: list[str]) -> list[str]:
    """File names of which no two are alike: a class calls its files the same."""
    found: list[str] = []
    for name in names:
        stem, number = name, 1
        while name in found:
            number += 1
            name = f"{stem} ({number})"
        found.append(name)
    return found
