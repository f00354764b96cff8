"""Roles marked in a text: what is marked, what is a bracket, and what is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.many.marks import Span, parse, write


def test_marks_are_taken_out_and_name_what_they_held():
    text, spans = parse("When [IO:Mary] and [S1+1 : John Lee] met")
    assert text == "When Mary and  John Lee met"
    assert spans == (Span("IO", 5, 9), Span("S1+1", 14, 23))
    assert [text[span.start : span.end] for span in spans] == ["Mary", " John Lee"]


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        (r"x = \[1, 2\]", "x = [1, 2]"),
        (r"a \\\[ b", r"a \[ b"),
        (r"C:\dir\\file", r"C:\dir\\file"),  # no bracket follows: backslashes are what they are
        (r"\\[A:b\\]", r"\b" + "\\"),
        (r"\=1+[A:1]", "=1+1"),
        (r"\\- \[a", r"\- [a"),
        (r"- \= [A:a]", r"- \= a"),
    ],
)
def test_a_backslash_makes_a_bracket_a_bracket(marked, text):
    assert parse(marked)[0] == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a b]",
            r"Character 4 is a ] that closes no role. A bracket that belongs to the text is"
            r" written \].",
        ),
        ("a [A:b", "The role A is opened with a [ that no ] closes."),
        ("[A:a [B:b]]", "Character 6 is a [ within the role A: roles stand side by side."),
        ("[A:a] [A:b]", "The role A is marked twice: number them."),
        ("[A:]b", "The role A marks no text: put a word after its colon."),
        *(
            (
                text,
                "Character 1 is a [ that names no role, as [S1:John] does, in at most 40"
                r" characters. A bracket that belongs to the text is written \[.",
            )
            for text in ("[1, 2]", "[:a]", "[ :a]", f"[{'n' * 41}:a]")
        ),
    ],
)
def test_a_mark_that_is_none_says_why(text, message):
    with pytest.raises(UserError) as error:
        parse(text)
    assert str(error.value) == message


@given(st.lists(st.tuples(st.text("[]\\:a= "), st.text("[]\\:a ", min_size=1)), max_size=3))
def test_what_is_written_is_read_again(pieces):
    text, spans = "", []
    for number, (before, marked) in enumerate(pieces):
        start = len(text + before)
        text += before + marked
        spans.append(Span(f"R{number}", start, len(text)))
    text += "\\["
    assert parse(write(text, spans)) == (text, tuple(spans))
    assert not write(text, spans).startswith("=")


def test_a_long_run_of_backslashes_takes_no_time():
    text = "\\" * 200_000 + "a"  # hours, if every one of them looked for the bracket
    assert parse(text + " [A:b]") == (text + " b", (Span("A", 200_002, 200_003),))
