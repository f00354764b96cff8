"""The page "Worksheet": tasks to work through, and what is handed in."""

import streamlit as st

from core.errors import UserError
from core.guess import Guess
from core.question.experiment import Experiment
from core.result import Result
from core.views import guesses, heatmaps
from core.views.names import safe
from core.views.words import row_name, summary
from core.worksheets.bundled import BUNDLED
from core.worksheets.handed_in import (
    SEEN,
    HandedIn,
    Said,
    found,
    is_answered,
    numbers_of,
    words_in,
)
from core.worksheets.worksheet import FINDS, KINDS, WRONG, Task, Worksheet, decoded
from pages.parts import (
    answer,
    chips,
    experiment,
    frame,
    handed_in,
    html,
    making,
    predict,
    sheet,
    tables,
)

_OPENED, _DOING = "sheet_file", "sheet_doing"  # widgets
_PATCH = "pages/patching/patch.py"
_LONGEST = 3000  # characters of an answer


def page() -> None:
    if wrong := sheet.problem():
        html.show(html.problem(wrong))
    if sheet.current() is None:
        html.show(html.title("Worksheets"))
        _do()
        return
    html.show(html.title(sheet.current().title))
    html.show(html.text(sheet.current().about))
    _steps()
    number = sheet.at()
    with st.container(border=True, key="task"):
        try:
            _task(number, sheet.current().tasks[number], sheet.said()[number])
        except UserError as error:
            html.show(html.problem(str(error)))
        _next(number)
    _hand_in()


def _do() -> None:
    """What there is to be done while none is worked through."""
    st.segmented_control(
        "What to do",
        sheet.DOES,
        format_func=sheet.DOES.get,
        default=sheet.doing(),
        required=True,
        key=_DOING,
        on_change=lambda: sheet.do(st.session_state[_DOING]),
        label_visibility="collapsed",
    )
    {"work": _choose, "make": making.show, "check": handed_in.show}[sheet.doing()]()


def _choose() -> None:
    for name, one in BUNDLED.items():
        with st.container(border=True):
            html.show(html.task("", one.title, one.about))
            st.button(
                "Go on" if sheet.was_left(one) else "Begin",
                key=f"begin_{name}",
                on_click=sheet.begin,
                args=(one,),
            )
    given = st.file_uploader("Or open a worksheet, or what you saved of one", "json", key=_OPENED)
    if given:
        try:
            _open(given.getvalue())
        except UserError as error:
            html.show(html.problem(str(error)))
        else:
            st.rerun()


def _open(content: bytes) -> None:
    written = decoded(content)
    if '"answers"' in written:
        sheet.go_on_with(HandedIn.read(written))
    else:
        sheet.begin(Worksheet.read(written))


def _steps() -> None:
    tasks, said = sheet.current().tasks, sheet.said()
    with st.container(horizontal=True):
        for number, task in enumerate(tasks):
            st.button(
                str(number + 1),
                key=f"task_{number}",
                help=html.label(task.title),
                on_click=sheet.go_to,
                args=(number,),
                type="primary" if number == sheet.at() else "secondary",
                icon=":material/check:" if is_answered(task, said[number]) else None,
            )


def _next(number: int) -> None:
    """On to the next task, which stands out once there is an answer to this one."""
    tasks = sheet.current().tasks
    if number + 1 == len(tasks):
        html.show(html.caption("This is the last task. What you hand in is below."))
        return
    st.button(
        "Next task",
        key="sheet_next",
        on_click=sheet.go_to,
        args=(number + 1,),
        type="primary" if is_answered(tasks[number], sheet.said()[number]) else "secondary",
        icon=":material/arrow_forward:",
    )


def _task(number: int, task: Task, said: Said) -> None:
    html.show(html.task(KINDS[task.kind], task.title, task.asks, number))
    if task.hint:
        with st.expander("A hint", key=f"hint_{number}"):  # closed in each task
            html.show(html.text(task.hint))
    asked = said.experiment if task.kind == "own" else task.experiment
    if task.kind == "own":
        _own_pair(number, said)
    if task.kind == "explain":
        _words(number, said, "In your own words")
        return
    result = _result(asked) if asked else None
    if result is None:
        return
    if not said.is_empty and said.numbers is None:  # an address does not hold them
        sheet.answer(number, numbers=numbers_of(result))
    left, right = st.columns((7, 3), gap="medium")
    with right:
        with st.container(key="answer_baselines"):  # narrow, as page.css has it
            html.show(tables.baselines(result))
        is_hidden = task.kind == "predict" and said.choice != SEEN  # what that page would show
        if not is_hidden and st.button(
            "Open it on the Patch page", on_click=experiment.put, args=(asked,)
        ):
            st.switch_page(_PATCH)
    with left:
        _answer(number, task, said, result)


def _answer(number: int, task: Task, said: Said, result: Result) -> None:
    match task.kind:
        case "predict":
            _predict(number, said, result)
        case "find":
            _find(number, task, said, result)
        case "diagnose":
            answer.still_heatmap(result, key=f"sheet_map_{number}")
            _diagnose(number, task, said, result)
        case "map" | "own":
            answer.still_heatmap(result, key=f"sheet_map_{number}")
            html.show(html.caption(summary(result)))
            _words(number, said, "What does it show?", numbers=numbers_of(result))


def _result(asked: Experiment) -> Result | None:
    on = frame.model_of(asked)
    if on is None:
        return None
    swept = frame.swept(asked, on)
    if swept is None:
        return None
    _, result = swept
    html.show(chips.ribbon(result.clean, result.corrupted))
    return result


def _words(number: int, said: Said, label: str, **also) -> None:
    key = f"sheet_words_{number}"
    st.text_area(
        label,
        value=said.words,
        key=key,
        max_chars=_LONGEST,
        on_change=lambda: sheet.answer(number, words=st.session_state[key].strip(), **also),
    )


def _predict(number: int, said: Said, result: Result) -> None:
    shape = result.values.shape
    guess = Guess.read(said.guess, shape) if said.guess else Guess.blank(shape)
    if said.choice != SEEN:
        predict.paint(
            result,
            answer.narrowest(),
            guess,
            lambda painted: sheet.answer(number, guess=painted.written()),
        )
        _words(number, said, "Why? One sentence")
        key = f"sheet_words_{number}"

        def commit() -> None:
            words = st.session_state[key].strip()
            if words:
                sheet.answer(
                    number,
                    words=words,
                    guess=guess.written(),
                    choice=SEEN,
                    numbers=numbers_of(result),
                )

        if st.button("Show me the map", type="primary", key="sheet_commit", on_click=commit):
            html.show(html.problem("Say why first, in one sentence."))
        return
    found_out = guesses.score(guess, result)
    with st.container(key="keeps_sheet"):
        st.plotly_chart(
            heatmaps.heatmap(
                result, clickable=False, surprises=[of[:2] for of in found_out.surprises]
            ),
            key=f"sheet_map_{number}",
            config=answer.MODEBAR,
        )
    html.show(html.text(guesses.came_out(result, found_out)))
    for surprise in found_out.surprises:
        html.show(html.caption(guesses.surprised(result, surprise)))
    html.show(html.caption(f"You wrote: {said.words}"))


def _find(number: int, task: Task, said: Said, result: Result) -> None:
    key = f"sheet_find_{number}"
    html.show(html.text(f"Click {FINDS[task.find]}."))
    st.plotly_chart(
        heatmaps.heatmap(result, said.cell, narrowest=answer.narrowest()),
        key=key,
        on_select=lambda: _take_cell(key, number, numbers_of(result)),
        selection_mode="points",
        config=answer.MODEBAR,
        alt="Heatmap to click the answer on.",
    )
    if said.cell is None:
        return
    row, column = said.cell
    if row >= result.values.shape[0] or column >= result.values.shape[1]:
        html.show(html.problem("The cell that was chosen is not on this map: click another."))
        return
    where = f"{row_name(result, row)}, {result.axes[1]} {column}"
    if said.cell in found(task, result):
        html.show(html.note(f"Right: {where}."))
    else:
        html.show(html.doubt(f"Not right: {where}."))


def _take_cell(key: str, number: int, numbers: dict) -> None:
    if points := st.session_state[key].selection.points:
        row, column, *_ = points[0]["customdata"]
        sheet.answer(number, cell=(int(row), int(column)), numbers=numbers)


def _diagnose(number: int, task: Task, said: Said, result: Result) -> None:
    if said.choice:
        right = said.choice == task.wrong
        html.show((html.note if right else html.doubt)(f"You said: {WRONG[said.choice]}"))
        html.show(html.text("Right." if right else f"What is wrong: {WRONG[task.wrong]}"))
        return
    key = f"sheet_choice_{number}"
    st.radio("What is wrong?", WRONG, format_func=WRONG.get, index=None, key=key)

    def commit() -> None:
        if chosen := st.session_state[key]:
            sheet.answer(number, choice=chosen, numbers=numbers_of(result))

    if st.button("Answer", type="primary", key="sheet_commit", on_click=commit):
        html.show(html.problem("Choose one of them first."))


def _own_pair(number: int, said: Said) -> None:
    st.button(
        "Take the pair that is on the Patch page now",
        key="sheet_take",
        on_click=lambda: sheet.answer(number, experiment=experiment.current()),
        help="Go there to change it, and come back.",
    )
    st.page_link(_PATCH, label="To the Patch page")
    if said.experiment is None:
        html.show(html.note("No pair is taken yet."))


def _hand_in() -> None:
    one = sheet.current()
    st.subheader("Hand it in")
    both = enumerate(zip(one.tasks, sheet.said(), strict=True), start=1)
    left = [str(n) for n, (task, said) in both if not is_answered(task, said)]
    words = words_in(said.words for said in sheet.said())
    st.text_input(
        "Your names",
        value=sheet.names(),
        key="sheet_names_typed",
        max_chars=200,
        on_change=lambda: sheet.take_names(st.session_state["sheet_names_typed"]),
    )
    done = f"{len(one.tasks) - len(left)} of {len(one.tasks)} tasks answered"
    done += f", {words:,} word{'s' * (words != 1)}."
    html.show(html.caption(f"{done} Still open: {', '.join(left)}." if left else done))
    handed_in = HandedIn(sheet.names(), one, tuple(sheet.said()))
    with st.container(horizontal=True, vertical_alignment="center"):
        whose = "-".join(filter(None, ("patchboard", safe(one.title), safe(sheet.names()))))
        file = answer.File("The file to hand in", f"{whose}.json", handed_in.to_json)
        answer.typed_file(file, make="Make the file to hand in")
        st.button("Leave the worksheet", on_click=sheet.leave)


page()
