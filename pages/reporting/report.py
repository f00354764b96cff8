"""The page "Report": what was found, what its author says about it, and the document made of it."""

from functools import partial

import streamlit as st

from core.report import archive, document, html, method, missing, shelf
from core.report.captions import caption, runs
from core.report.figures import figures
from core.report.findings import Finding, tables
from core.report.notebook import SECTIONS, Report
from pages.parts import answer, notebook
from pages.parts import html as markup

_ASKS = {
    "introduction": "What is the question, and why does it matter?",
    "method": "What was done, how, and what was checked?",
    "discussion": "What do the findings mean together? What could they not show?",
    "conclusion": "What is the answer?",
}
_HEIGHT = {"introduction": 170, "method": 230, "discussion": 200, "conclusion": 130}
_FILE = "patchboard-report"
# By whether the server has it on its disk as well.
_KEPT = {
    True: "; to keep it for good, save it",
    False: ", but not when the server is started anew: save it to keep it",
}


def page() -> None:
    markup.show(markup.title("What will you hand in?"))
    left, right = st.columns((7, 3), gap="large")
    with left, st.container(key="report"):
        _line("title", "Title")
        for column, name in zip(st.columns(2), ("authors", "course"), strict=True):
            with column:
                _line(name, name.title())
        for name, title in SECTIONS.items():
            st.subheader(title)
            if name == "results":
                _results()
            else:
                _section(name, title)
    with right, st.container(key="report_side"):
        _side(notebook.current())


def _line(name: str, label: str) -> None:
    st.text_input(label, **notebook.widget(name, *_field(name)))
    _problem(name)


def _field(name: str) -> tuple[notebook.Read, notebook.Write]:
    return lambda of: getattr(of, name), lambda of, text: of.with_text(name, text)


def _section(name: str, title: str) -> None:
    fields = _method_field() if name == "method" else _field(name)
    st.text_area(
        title,
        **notebook.widget(name, *fields),
        height=_HEIGHT[name],
        placeholder=_ASKS[name],
        label_visibility="collapsed",
    )
    _problem(name)
    if name == "method":
        if notebook.current().method is None:
            markup.show(
                markup.caption(
                    "Generated from your findings, and again as they change, until you edit it."
                    " Once edited, it counts among your words."
                )
            )
        else:
            st.button(
                "Generate it again from the findings",
                on_click=lambda: notebook.change(lambda of: of.with_text("method", None), True),
                type="tertiary",
            )


def _method_field() -> tuple[notebook.Read, notebook.Write]:
    def read(of: Report) -> str:
        return method.method(of) if of.method is None else of.method

    def write(of: Report, text: str) -> Report:
        return of if text == read(of) else of.with_text("method", text)

    return read, write


def _problem(name: str) -> None:
    if told := notebook.says(f"report_{name}"):
        markup.show(told)


def _results() -> None:
    found = notebook.current().findings
    if not found:
        markup.show(
            markup.note(
                "Nothing is here yet. On Patch, Many pairs, Components, Follow it back, Sets, Lens"
                " and Compare, the button “Add to the report” beside the downloads puts what the"
                " page shows here, with a caption."
            )
        )
    for number, of in enumerate(found, start=1):
        with st.container(border=True, key=f"finding_{of.id}"):
            _finding(number, of, len(found))


def _finding(number: int, of: Finding, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(f"Finding {number}", **notebook.widget(*_of_finding(of.id, "title")))
        for label, by, icon in (("Up", -1, "arrow_upward"), ("Down", 1, "arrow_downward")):
            st.button(
                label,
                key=f"{label}_{of.id}",
                on_click=_move,
                args=(of.id, by),
                icon=f":material/{icon}:",
                disabled=not 1 <= number + by <= count,
            )
        st.button(
            "Remove",
            key=f"remove_{of.id}",
            on_click=_remove,
            args=(of.id,),
            icon=":material/delete:",
        )
    drawn = figures(of)
    for place, figure in enumerate(drawn):
        if figure.name:
            markup.show(markup.text(figure.name))
        st.plotly_chart(figure.plotly, key=f"drawn_{of.id}_{place}", config=answer.MODEBAR)
    if not drawn:
        for table in tables(of):
            cells = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.heads)
            st.dataframe(dict(zip(table.heads, map(list, cells), strict=True)), hide_index=True)
    markup.show(markup.long_caption([runs(line) for line in caption(of)]))
    markup.show(
        markup.caption(
            "The caption is made from the stored numbers, so that it is always right, and cannot be"
            " edited. The title above and the words below are yours."
        )
    )
    st.text_area(
        "What it shows, in your words",
        **notebook.widget(*_of_finding(of.id, "words")),
        height=120,
        placeholder="What does it show? What would you have expected? What else could explain it?",
    )
    _problem(f"words_{of.id}")


def _of_finding(id: str, name: str) -> tuple[str, notebook.Read, notebook.Write]:
    """A text of a finding, which another tab may have removed meanwhile."""

    def read(report: Report) -> str:
        return next((getattr(of, name) for of in report.findings if of.id == id), "")

    return f"{name}_{id}", read, lambda report, text: report.with_words(id, **{name: text})


def _move(id: str, by: int) -> None:
    notebook.change(lambda report: report.moved(id, by))


def _remove(id: str) -> None:
    notebook.change(lambda report: report.without(id), undone=True)


def _side(report: Report) -> None:
    words = report.words
    markup.show(markup.counted(sum(words.values()), report.least, report.most))
    by_section = (f"{SECTIONS[name]} {count:,}" for name, count in words.items())
    markup.show(markup.caption(f"{', '.join(by_section)}. Captions and tables do not count."))
    least, most = st.columns(2)
    for column, name, label in ((least, "least", "At least"), (most, "most", "At most")):
        key = f"report_{name}"
        if st.session_state.get(key) != getattr(report, name):
            st.session_state[key] = getattr(report, name)
        column.number_input(
            label, 0, 100_000, step=50, key=key, on_change=_take_limit, args=(name,)
        )
    st.markdown("**Hand it in**")
    _downloads(report)
    markup.show(
        markup.caption(
            "Any browser prints the HTML file to PDF. The report is kept on this server for this"
            f" browser, through reloads and in every tab{_KEPT[shelf.is_there()]}. The page Open"
            " opens it again."
        )
    )
    with st.container(horizontal=True):
        if notebook.can_undo():
            st.button("Undo", on_click=notebook.undo, icon=":material/undo:")
        if not report.is_empty:
            st.button("Begin anew", on_click=_begin_anew, type="tertiary")

    st.markdown("**What a reader would miss**")
    if told := missing.missing(report):
        markup.show(markup.items(told))
    else:
        markup.show(markup.note("Nothing, as far as can be told from here."))


def _take_limit(name: str) -> None:
    """One limit pushes the other along."""
    value = st.session_state[f"report_{name}"]

    def limited(of: Report) -> Report:
        of = of.with_text(name, value)
        return (
            of.with_text("least", min(of.least, value))
            if name == "most"
            else of.with_text("most", max(of.most, value))
        )

    notebook.change(limited)


def _begin_anew() -> None:
    limits = notebook.current()
    notebook.change(lambda of: Report(least=limits.least, most=limits.most), undone=True)


def _downloads(report: Report) -> None:
    code = notebook.programs(report.findings)
    offered = {
        "HTML, for PDF": (f"{_FILE}.html", "text/html", partial(_html, report, code)),
        "Markdown: ZIP": (f"{_FILE}-markdown.zip", *_zip("markdown", report, code)),
        "LaTeX: ZIP": (f"{_FILE}-latex.zip", *_zip("latex", report, code)),
        "Save: JSON": (f"{_FILE}.json", "application/json", report.to_json),
    }
    with st.container(horizontal=True):
        for label, (name, mime, make) in offered.items():
            st.download_button(
                label,
                make,
                name,
                mime,
                key=f"download_{name}",
                on_click="ignore",
                icon=":material/download:",
                disabled=report.is_empty,
            )


def _zip(kind: str, report: Report, code: dict[str, str]) -> tuple:
    def make() -> bytes:
        return archive.zipped(document.document(report, code), kind, report.to_json())

    return "application/zip", make


def _html(report: Report, code: dict[str, str]) -> str:
    return html.html(document.document(report, code))


page()
