"""To make a worksheet: what it says, its tasks, and what comes out: a file, a link, a key."""

from urllib.parse import urlencode

import streamlit as st

from core import catalogue
from core.errors import UserError
from core.models import LoadedModel
from core.study import draft_for
from core.views.names import safe
from core.worksheets import computing, key
from core.worksheets.making import kinds_for
from core.worksheets.worksheet import FINDS, KINDS, WRONG, Task, Worksheet
from pages.parts import answer, draft, experiment, html, keeping, running, sheet
from pages.parts.jobs import Job

_PATCH = "pages/patching/patch.py"
_SHORT, _LONG = 200, 3000  # characters
_LONG_LINK = 6000  # characters: more is cut by some programs that pass links on


def show() -> None:
    """All of it."""
    if wrong := draft.problem():
        html.show(html.problem(wrong))
    _head()
    _add()
    if not draft.ids():
        html.show(html.note("No task yet: add the first."))
        return
    _choose()
    with st.container(border=True, key="task"):
        _task(draft.ids()[draft.at()], draft.current().tasks[draft.at()])
    _misfits()
    _outcome(draft.current())


def load(name: str) -> LoadedModel:
    """A model that is here. Raises UserError for one that is not."""
    computing.here(catalogue.named(name))
    return keeping.shelf(name).model


def _head() -> None:
    made, of = draft.current(), draft.opened()
    _line("Title", made.title, f"make_title_{of}", lambda says: draft.change(title=says))
    _area("What it is about", made.about, f"make_about_{of}", lambda says: draft.change(about=says))
    left, right = st.columns(2)
    titles = {name: entry.title for name, entry in catalogue.catalogue().items()}
    titles.setdefault(made.model, made.model)
    names = list(titles)
    left.selectbox(
        "Model",
        names,
        index=names.index(made.model),
        format_func=lambda name: html.label(titles[name]),
        key=f"make_model_{of}_{made.model}",  # the first task may bring its own
        on_change=lambda: draft.change(
            model=st.session_state[f"make_model_{of}_{made.model}"],
        ),
    )
    right.multiselect(
        "Pages shown besides Patch",
        sheet.others(),
        default=[title for title in made.pages if title in sheet.others()],
        key=f"make_pages_{of}",
        placeholder="all",
        on_change=lambda: draft.change(pages=tuple(st.session_state[f"make_pages_{of}"])),
    )


def _add() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Add the map that is on the Patch page now",
            on_click=lambda: draft.add([experiment.current()]),
            type="primary",
            help="Go there to change it, and come back.",
        )
        st.button("Add a task with a pair of their own", on_click=draft.add_without, args=("own",))
        st.button("Add a question", on_click=draft.add_without, args=("explain",))
        st.page_link(_PATCH, label="To the Patch page")
    with st.expander("Add maps by their addresses, or open a worksheet"):
        st.text_area(
            "Addresses of maps, one a line",
            value=draft.pasted(),
            key="make_pasted",
            on_change=lambda: draft.take_pasted(st.session_state["make_pasted"]),
        )
        st.button("Add them", on_click=_add_pasted)
        given = st.file_uploader("A worksheet to go on with", "json", key="make_file")
        st.button("Open it", on_click=lambda: draft.open_file(given.getvalue()), disabled=not given)
        st.button("Begin anew", on_click=_begin_anew, disabled=draft.is_blank())


def _add_pasted() -> None:
    draft.take_pasted(st.session_state["make_pasted"])
    draft.add_pasted()
    st.session_state["make_pasted"] = draft.pasted()


def _begin_anew() -> None:
    draft.begin_anew()
    st.session_state["make_pasted"] = ""


def _choose() -> None:
    with st.container(horizontal=True):
        for number, task in enumerate(draft.current().tasks):
            st.button(
                str(number + 1),
                key=f"made_{number}",
                help=html.label(task.title) or None,
                on_click=draft.go_to,
                args=(number,),
                type="primary" if number == draft.at() else "secondary",
            )


def _task(id: int, task: Task) -> None:
    asked, about = task.experiment, ""
    if asked:
        about = f"“{asked.clean}” / “{asked.corrupted}”"
    html.show(html.task(KINDS[task.kind], f"Task {draft.at() + 1}", about, id))
    if asked:
        how = f"{asked.site}, {asked.direction}, {asked.metric}"
        html.show(html.caption(f"target “{asked.target}”, foil “{asked.foil}”; {how}"))
    key = f"make_kind_{id}"
    st.segmented_control(
        "Kind",
        kinds_for(task),
        format_func=KINDS.get,
        default=task.kind,
        required=True,
        key=key,
        on_change=lambda: draft.change_task(id, kind=st.session_state[key]),
    )
    _line(
        "Title of the task", task.title, f"make_task_{id}", lambda s: draft.change_task(id, title=s)
    )
    _area("Question", task.asks, f"make_asks_{id}", lambda s: draft.change_task(id, asks=s))
    if task.kind == "find":
        _choice("To be found", FINDS, task.find, id, "find")
    if task.kind == "diagnose":
        _choice("What is wrong", WRONG, task.wrong, id, "wrong")
    _area("Hint, if any", task.hint, f"make_hint_{id}", lambda s: draft.change_task(id, hint=s))
    first, last = draft.at() == 0, draft.at() == len(draft.ids()) - 1
    with st.container(horizontal=True):
        st.button("Earlier", on_click=draft.move, args=(id, -1), disabled=first)
        st.button("Later", on_click=draft.move, args=(id, 1), disabled=last)
        st.button("Remove", on_click=draft.remove, args=(id,), key="make_remove")
        if task.experiment:
            st.button(
                "Take the map that is on the Patch page instead",
                on_click=lambda: draft.change_task(id, experiment=experiment.current()),
            )
            if st.button("Open it there", on_click=experiment.put, args=(task.experiment,)):
                st.switch_page(_PATCH)


def _misfits() -> None:
    """Tasks that the model cannot do."""
    made = draft.current()
    try:
        model = load(made.model)
    except UserError as error:
        html.show(html.doubt(str(error)))
        return
    for number, task in enumerate(made.tasks, start=1):
        if task.experiment:
            for problem in draft_for(task.experiment, model).problems.values():
                html.show(html.problem(f"Task {number}: {problem}"))


def _outcome(made: Worksheet) -> None:
    st.subheader("Hand it out")
    name = f"patchboard-{safe(made.title) or 'worksheet'}"
    with st.container(horizontal=True, vertical_alignment="center"):
        file = answer.File("The worksheet", f"{name}.json", made.to_json)
        answer.typed_file(file, make="Make the file")
        st.button("Try it", on_click=sheet.begin, args=(made,))
    if draft.is_too_long():
        html.show(
            html.doubt("It is too long for an address: a reload loses what is not in the file.")
        )
    else:
        link = f"{(st.context.url or '').partition('?')[0]}?{urlencode({'sheet': made.to_link()})}"
        st.code(link, language=None, wrap_lines=False)
        if len(link) > _LONG_LINK:
            html.show(html.caption("Some programs cut a link of this length: send the file."))
    st.subheader("The key")
    asked = made.experiments
    job = keeping.shelf(catalogue.TEACHING.name).keep(
        None,
        ("key", made.digest),
        lambda: Job(lambda: key.key(made, load), *computing.estimate(asked, load), asked=True),
    )
    if not running.drive(job, label="Compute the key"):
        return
    for row in job.result:
        if row.problem:
            html.show(html.problem(f"Task {row.number}: {row.problem}"))
        elif says := row.cells_in_words or WRONG.get(row.wrong, ""):
            html.show(html.caption(f"Task {row.number}: {says}"))
    answer.file_row(
        answer.File("Key: JSON", f"{name}-key.json", lambda: key.to_json(made, job.result)),
        answer.File("Key: CSV", f"{name}-key.csv", lambda: key.to_csv(job.result)),
    )


def _line(label: str, value: str, key: str, write) -> None:
    st.text_input(
        label,
        value=value,
        key=key,
        max_chars=max(_SHORT, len(value)),
        on_change=lambda: write(st.session_state[key].strip()),
    )


def _area(label: str, value: str, key: str, write) -> None:
    st.text_area(
        label,
        value=value,
        key=key,
        max_chars=max(_LONG, len(value)),
        height=68,
        on_change=lambda: write(st.session_state[key].strip()),
    )


def _choice(label: str, among: dict[str, str], value: str, id: int, field: str) -> None:
    key, names = f"make_{field}_{id}", list(among)
    st.selectbox(
        label,
        names,
        index=names.index(value),
        format_func=among.get,
        key=key,
        on_change=lambda: draft.change_task(id, **{field: st.session_state[key]}),
    )
