"""A file of pairs: what is read of it, whatever wrote it, and every row that is not, with why."""

import json
import time
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.many import pairs
from core.many.marks import Span
from core.many.pairs import Dropped, Pair, read, write
from tests.builders import experiment

HEADER = "clean,corrupted,target,foil\n"
PLAIN = Pair("2", 2, "Anna met", "Bob met", (" Lee",), (" Poe",))


def given_text(text: str) -> tuple[list[Pair], list[Dropped]]:
    return read(text.encode(), "my.csv")


def reasons(text: str) -> dict[int, str]:
    return {dropped.line: dropped.reason for dropped in given_text(text)[1]}


def refusal(content: bytes) -> str:
    with pytest.raises(UserError) as error:
        read(content, "my.csv")
    return str(error.value)


ROW = HEADER + "Anna met,Bob met, Lee, Poe\n"


@pytest.mark.parametrize(
    "content",
    [
        ROW.encode(),
        ROW.encode("utf-8-sig"),
        ROW.encode("utf-16"),
        ROW.replace("\n", "\r\n").encode(),
        ROW.replace("\n", "\r").encode(),
        ROW.replace(",", ";").encode(),
        ROW.replace(",", "\t").encode(),
        ROW.replace("clean", " Clean ").encode(),
        ("note," + ROW.replace("\n", "\nseen,", 1)).encode(),
    ],
    ids="plain BOM UTF-16 CRLF CR semicolons tabs capitals another".split(),
)
def test_a_table_is_read_whatever_wrote_it(content):
    assert read(content, "my.csv") == ([PLAIN], [])


def test_a_spreadsheet_that_names_its_separator_is_read():
    (pair,), _ = given_text("sep=;\r\n" + ROW.replace(",", ";"))
    assert pair == replace(PLAIN, id="3", line=3)


def test_ids_groups_lists_and_roles_are_read():
    text = (
        'id,group,clean,corrupted,target,foil\n a1 , men ,a [S:b] \\[c\\],a [S:d],"[""x"",""y""]",['
    )
    (pair,), dropped = given_text(text)
    assert not dropped
    assert (pair.id, pair.group) == ("a1", "men")
    assert (pair.clean, pair.corrupted) == ("a b [c]", "a d")
    assert pair.clean_roles == pair.corrupted_roles == (Span("S", 2, 3),)
    assert (pair.target, pair.foil) == (("x", "y"), ("[",))


def test_lines_are_those_of_the_file():
    text = HEADER + '\n"a\r\nb",c,d,e\r\rf,g,h\n"i""j",k,l,m\r\nn,o,p,q'
    found, dropped = given_text(text)
    assert [(pair.line, pair.clean) for pair in found] == [(3, "a\nb"), (7, 'i"j'), (8, "n")]
    assert [row.line for row in dropped] == [6]


def test_nothing_is_evaluated():
    formula = '=cmd|"/c calc"!A1'
    (pair,), _ = given_text(HEADER + '"=cmd|""/c calc""!A1",+1+1,@SUM(A1),-1')
    assert (pair.clean, pair.corrupted) == (formula, "+1+1")
    assert (pair.target, pair.foil) == (("@SUM(A1)",), ("-1",))


CELLS = (
    "The row has 3 cells and the file 4 columns: put a text that holds separators or line ends in"
    " quotation marks."
)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b,c", CELLS),
        ("a,b,c,d,e", CELLS.replace("3", "5")),
        ("a [A:b,b,c,d", "The role A is opened with a [ that no ] closes."),
        ('a,b,"[1, 2]",d', 'The target should be a text or a list of texts, as [" 45", " 46"], and'
         " is [1, 2]."),
        ("a,b,[],d", 'The target should be a text or a list of texts, as [" 45", " 46"], and is'
         " []."),
        ("a,b,c,[x", 'The foil is no JSON, as [" 45", " 46"] is: [x.'),
        (f"a,b,c,{'[' * 5_000}", f'The foil is no JSON, as [" 45", " 46"] is: {"[" * 60}….'),
        (
            'a,"b" b,c,d',
            "The row is no row of a table (',' expected after '\"'): look for a quotation mark that"
            ' is not closed; one within a text in quotation marks is written "".',
        ),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_says_why_and_the_others_are(row, reason):
    found, dropped = given_text(f"{HEADER}{row}\nAnna met,Bob met, Lee, Poe\n")
    assert found == [replace(PLAIN, id="3", line=3)]
    assert [(row.line, row.reason) for row in dropped] == [(2, reason)]


def test_a_quotation_mark_that_is_not_closed_costs_its_own_line_only():
    found, dropped = given_text(HEADER + 'a,b,c,"d\n' + "a,b,c,d\n" * 3)
    assert [pair.line for pair in found] == [3, 4, 5]
    assert [row.line for row in dropped] == [2]


def test_an_id_is_given_once():
    found, dropped = given_text("id," + HEADER + "x,a,b,c,d\n,a,b,c,d\nx,e,f,g,h\n")
    assert [(pair.id, pair.line) for pair in found] == [("x", 2), ("3", 3)]
    assert dropped == [Dropped(4, "x", "Line 2 has the id x already: ids are unique.")]


NEEDED = (
    "A row needs clean, corrupted, target and foil (or, for the ids of tokens, correct_idx and"
    " incorrect_idx in place of the last two)."
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"my.csv is empty. {NEEDED}"),
        (b" \r\n\r", f"my.csv is empty. {NEEDED}"),
        (HEADER.encode(), f"my.csv has no row that can be used. {NEEDED}"),
        (f"{HEADER}a,b,c".encode(), f"my.csv has no row that can be used. Line 2: {CELLS}"),
        (
            b"clean;target\na;b",
            "my.csv has no column corrupted and no column foil: its line 1 should name the columns,"
            f" and reads “clean;target”. {NEEDED}",
        ),
        (
            f"target,{HEADER}".encode(),
            "my.csv has two columns target: rename one of them.",
        ),
        (
            f"{HEADER}a,caf\xe9,c,d".encode("latin-1"),
            "my.csv is not in UTF-8: line 2 has the byte 0xE9. Save it as UTF-8 (in a spreadsheet:"
            " “CSV UTF-8”).",
        ),
        (
            HEADER.encode("utf-16-le"),
            "my.csv is no text, or in UTF-16 without its mark: save it as UTF-8.",
        ),
        (b"PK\3\4...", "my.csv is a workbook or an archive: save it as “CSV UTF-8”."),
        (
            b'{"prompts": [',
            "my.csv begins as JSON and breaks: Expecting value: line 1 column 14 (char 13).",
        ),
        (b'{"prompts": 1}', "my.csv has no list under “prompts”."),
    ],
)
def test_a_file_without_a_usable_row_is_refused(content, message):
    assert refusal(content) == message


@pytest.mark.parametrize("hostile", ["[" * 200_000, "?" * 500_000, "\0" * 10, "x" * 200_000])
def test_whatever_a_file_holds_it_is_refused_in_words(hostile):
    assert refusal(hostile.encode()).startswith("my.csv ")


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(pairs, "MOST_BYTES", 1_000_000)
    assert refusal(b"x" * 3_000_000) == ("my.csv has more than the 1 MB that are read: split it.")


def test_many_rows_take_seconds_whether_they_are_rows_or_not():
    rows = "a,b,c,d\n" + '"x" y,b,c,d\n' * 20_000  # each of which begins the reading anew
    found, dropped = given_text(HEADER + rows)
    assert (len(found), len(dropped)) == (1, 20_000)
    assert dropped[-1].line == 20_002


def test_a_list_of_many_rows_on_one_line_takes_a_second():
    row = {"clean": "a", "corrupted": "b", "target": "c", "foil": "d"}
    content, started = json.dumps([row] * 40_000).encode(), time.process_time()
    assert len(read(content, "my.json")[0]) == 40_000
    assert time.process_time() - started < 6


def test_json_objects_are_read_one_a_line():
    row = {"clean": "a [S:b]", "corrupted": "a [S:c]", "target": [" x", " y"], "foil": " z"}
    lines = [{**row, "id": 7, "group": 1}, row, {**row, "clean": 5}, {"clean": "a"}, [1]]
    found, dropped = given_text("\n\n".join(map(json.dumps, lines)) + "\n{broken}\n")
    assert [(pair.id, pair.line, pair.group) for pair in found] == [("7", 1, "1"), ("3", 3, "")]
    assert found[0].clean == "a b" and found[0].target == (" x", " y")
    assert {row.line: row.reason for row in dropped} == {
        5: "The clean should be a text, and is 5.",
        7: f"The row has no corrupted. {NEEDED}",
        9: "The line is no object: [1].",
        10: "The line is no JSON: Expecting property name enclosed in double quotes: line 1 column"
        " 2 (char 1).",
    }
    listed, _ = given_text(json.dumps([row, row], indent=1))
    assert [pair.clean for pair in listed] == ["a b"] * 2
    assert [pair.line for pair in listed] == [2, 11]
    on_one_line, _ = given_text(json.dumps([row] * 3))
    assert [(pair.id, pair.line) for pair in on_one_line] == [("1", 1), ("1.2", 1), ("1.3", 1)]


def test_auto_circuits_json_is_read_as_it_is():
    prompt = {"clean": "a [1] b", "corrupt": "a [2] b", "answers": [" x"], "wrong_answers": [" y"]}
    tokenized = {**prompt, "clean": [[1, 2]]}
    whole = {"seq_labels": ["", "S"], "word_idxs": {"IO": 1}, "more": {"prompts": [7]}}
    found, dropped = given_text(json.dumps(whole | {"prompts": [prompt, tokenized]}, indent=1))
    (pair,) = found
    assert (pair.clean, pair.corrupted, pair.clean_roles) == ("a [1] b", "a [2] b", ())
    assert (pair.target, pair.foil) == ((" x",), (" y",))
    assert (pair.labels, pair.word_idxs) == (("", "S"), (("IO", 1),))
    assert pair.line == 15
    assert dropped == [Dropped(25, "25", "The clean should be a text, and is [[1, 2]].")]


@pytest.mark.parametrize("key", ['"prompts"', '"\\u0070rompts"'])
def test_auto_circuits_json_may_be_written_in_odd_ways(key):
    prompt = '{"clean": "a", "corrupt": "b", "answers": ["x"], "wrong_answers": ["y"], "p": NaN}'
    found, dropped = given_text(f"{{{key}: [{prompt}]}}")
    assert ([pair.target for pair in found], dropped) == ([("x",)], [])


def test_ids_of_tokens_are_read_of_eaps_table():
    text = ',clean,corrupted,correct_idx,incorrect_idx\n0,a [1],b,15,"[3, 4]"\n1,a,b,,5\n2,a,b,x,5'
    (pair,), dropped = given_text(text)
    assert (pair.clean, pair.target, pair.foil) == ("a [1]", (), ())
    assert (pair.target_ids, pair.foil_ids) == ((15,), (3, 4))
    assert [row.line for row in dropped] == [3, 4]


def test_an_address_a_line_is_read():
    asked = experiment(clean="a + b&c", corrupted="[1] é", target=" x").to_query()
    query = urlencode(asked)
    text = f"http://localhost:8501/patch?{query}#top\n\n?{query}\nclean=a&x=1\nclean=%ff\n#\n"
    found, dropped = given_text(text)
    assert [(pair.id, pair.line) for pair in found] == [("1", 1), ("3", 3)]
    for pair in found:
        assert (pair.clean, pair.corrupted) == ("a + b&c", "[1] é")
        assert (pair.target, pair.foil) == ((" x",), (asked["foil"],))
    assert [row.line for row in dropped] == [4, 5, 6]
    assert dropped[0].reason == f"The row has no corrupted. {NEEDED}"
    assert dropped[1].reason.startswith("The line is no address: ")


TEXT = st.text('[]\\:"\n,;\ta é', max_size=8)


@given(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=2), st.booleans())
def test_what_is_written_is_read_again(clean, corrupted, words, by_id):
    pair = Pair("1", 2, clean, corrupted, tuple(words), (" z",), "g")
    if by_id:
        pair = replace(pair, target=(), target_ids=(1, 2), labels=("", "S"), word_idxs=(("A", 3),))
    other = replace(PLAIN, clean_roles=(Span("A", 0, 4),))
    found, dropped = given_text(write([pair, other]))
    assert not dropped
    lines = [one.line for one in found]  # texts may hold line ends
    assert found == [replace(pair, line=lines[0]), replace(other, line=lines[1])]


STARTS = [
    HEADER,
    HEADER.replace(",", ";"),
    '{"prompts": [',
    "[",
    "{",
    "?clean=",
    "correct_idx,",
    "",
]
PIECES = [*'[]{}\\:",;\t\n\r&=%?é\0', *('"clean":', '"prompts":', "1e999", "NaN", "\\ud800", "]}")]


@given(st.sampled_from(STARTS), st.lists(st.sampled_from([*PIECES, "a,b,c,d", "\n"])))
def test_whatever_a_file_holds_is_read_or_refused_in_words(start, pieces):
    text = start + "".join(pieces)
    try:
        found, dropped = given_text(text)
    except UserError as error:
        assert str(error).startswith("my.csv ")
    else:
        lines = [row.line for row in (*found, *dropped)]
        assert len(set(lines)) == len(lines) or text.lstrip()[0] in "[{"
        assert max(lines) <= text.count("\n") + text.count("\r") + 1


@given(st.binary())
def test_whatever_bytes_a_file_holds_it_is_refused_in_words(content):
    assert refusal(content).startswith("my.csv ")
