"""A folder of what was handed in is computed again, and what does not hold stands out."""

import csv
import io
import json
from dataclasses import replace

import pytest

from core.errors import UserError
from core.steps import finish
from core.views import exports
from core.worksheets import checking, cli, key
from core.worksheets.handed_in import HandedIn, Said, found, numbers_of
from core.worksheets.worksheet import Task, Worksheet
from tests import builders

OWN = " ".join(f"word{i}" for i in range(12))
ASKED = "Say where the surname is held and when the last position comes to have it."
SHEET = Worksheet(
    "Sheet",
    "About",
    "teaching",
    (
        Task("map", "Map", ASKED, builders.experiment()),
        Task("find", "Find", "Which cell?", builders.experiment(), find="strongest"),
        Task("own", "Own", "Your own pair."),
        Task("explain", "Explain", "Why?"),
    ),
)


@pytest.fixture(scope="module")
def model():
    return builders.loaded_model()


@pytest.fixture
def checked(model):
    """What is found in a folder."""
    return lambda folder: finish(checking.check(checking.files_in(folder), lambda name: model))


@pytest.fixture(scope="module")
def answering(model):
    return lambda asked: builders.finished(asked, model).read(asked)


def handed_in(answering, number: int, **changes) -> HandedIn:
    result = answering(builders.experiment())
    own = builders.experiment(direction="noise")
    words = f"{number} " * 5 + " ".join(f"{number}-{i}" for i in range(9))
    said = [
        Said(words=words, numbers=numbers_of(result)),
        Said(cell=min(found(SHEET.tasks[1], result)), numbers=numbers_of(result)),
        Said(words=f"Pair {number}.", experiment=own, numbers=numbers_of(answering(own))),
        Said(words="Short."),
    ]
    for place, change in changes.items():
        said[int(place[1:])] = change(said[int(place[1:])])
    return HandedIn(f"Pair {number}", SHEET, tuple(said))


def moved(said: Said) -> Said:
    numbers = json.loads(json.dumps(said.numbers))
    numbers["values"][0][3] -= 0.01
    return replace(said, numbers=numbers)


def test_of_twelve_files_the_three_manipulated_ones_stand_out(tmp_path, checked, answering, model):
    """In one a number was moved, one has the words of another with a few exchanged, and one has
    answers and numbers from the key of whoever made the worksheet."""
    (answer,) = [row for row in finish(key.key(SHEET, lambda name: model)) if row.kind == "find"]
    pasted = {"values": [[answer.clean_value] * 7] * 3, "metric": answer.metric}
    pasted |= {"clean_value": answer.clean_value, "corrupted_value": answer.corrupted_value}
    from_the_key = Said(cell=answer.cells[0], numbers=pasted | {"fingerprint": answer.fingerprint})
    copied = handed_in(answering, 2).said[0].words.replace("2-3", "so").replace("2-7", "thus")
    manipulated = {
        3: {"_0": moved},
        5: {"_0": lambda said: replace(said, words=copied)},
        8: {"_1": lambda said: from_the_key},
    }
    for number in range(12):
        written = handed_in(answering, number, **manipulated.get(number, {})).to_json()
        (tmp_path / f"{number:02}.json").write_text(written, encoding="utf-8")
    rows = checked(tmp_path)
    said = {(row.file, row.task): row for row in rows if checking.stands_out(row)}
    assert {*said} == {
        ("02.json", "1. Map"),
        ("03.json", "1. Map"),
        ("05.json", "1. Map"),
        ("08.json", "2. Find"),
    }
    (found_it,) = [row for row in rows if (row.file, row.task) == ("00.json", "2. Find")]
    layer, position = min(found(SHEET.tasks[1], answering(builders.experiment())))
    assert found_it.answer.startswith(f"layer {layer}, position {position}")
    assert said["03.json", "1. Map"].largest_difference == "0.01"
    assert said["03.json", "1. Map"].differs_at.startswith("layer 0, position 3: ")
    assert said["05.json", "1. Map"].repeats == "02.json: 1. Map"
    assert said["08.json", "2. Find"].right == "yes"
    told = cli.report(rows)
    assert "05.json (Pair 5): 4 of 4 tasks answered\n  1. Map: much the same stands in 02" in told
    assert told.count("\n  ") == 4
    assert told.endswith("12 files. Maps: 34 equal, 2 differ. Answers: 12 right, 0 not right.")


def test_a_result_or_a_worksheet_that_was_changed_stands_out(tmp_path, checked, answering):
    easier = handed_in(answering, 7).to_json().replace("Which cell?", "Any cell?")
    (tmp_path / "07.json").write_text(easier)
    (tmp_path / "more").mkdir()
    result = answering(builders.experiment(site="head_z", metric="logit_diff"))
    (tmp_path / "more" / "a.json").write_text(exports.to_json(result))
    said = json.loads(exports.to_json(result))
    said["clean_value"] += 1
    (tmp_path / "more" / "b.json").write_text(json.dumps(said))
    rows = checked(tmp_path)
    assert [(row.file, row.problem, row.numbers) for row in rows] == [
        ("07.json", "The worksheet in the file has been changed.", ""),
        ("more/a.json", "", "equal"),
        ("more/b.json", "", "differ"),
    ]


def test_what_is_answered_is_said_and_judged(tmp_path, checked, answering):
    (tmp_path / "a.json").write_text(handed_in(answering, 1).to_json())
    first, second, third, fourth = checked(tmp_path)
    assert first.names == "Pair 1" and first.words == "14" and first.right == ""
    assert second.right == "yes" and second.answer.startswith("layer ")
    assert third.answer.endswith("Pair 1.") and third.problem == ""
    assert fourth.answer == "Short." and fourth.numbers == ""


def test_texts_that_repeat_each_other_or_the_worksheet_are_named(tmp_path, checked, answering):
    def says(words):
        return lambda said: replace(said, words=words)

    near = OWN.replace("word3", "another")
    for name, change in {"a": OWN, "b": near, "c": ASKED.lower(), "d": "Short."}.items():
        handed = handed_in(answering, ord(name), _3=says(change), _0=says(f"{name} " * 9))
        (tmp_path / f"{name}.json").write_text(handed.to_json())
    rows = {(row.file, row.task): row.repeats for row in checked(tmp_path)}
    assert {where: repeats for where, repeats in rows.items() if repeats} == {
        ("a.json", "4. Explain"): "b.json: 4. Explain",
        ("b.json", "4. Explain"): "a.json: 4. Explain",
        ("c.json", "4. Explain"): "the worksheet",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b'{"findings": []}', "is a report"),
        (b"{}", "holds neither answers to a worksheet nor a result"),
        (b'{"answers": 1}', "holds no answers to a worksheet"),
        (b'{"answers":[' + b"[" * 90 + b"NaN" + b"]" * 90 + b"]}", "NaN is not a number"),
        (b"1" * 20_000_001, "The file is larger than 20 MB."),
        (b'{"experiment":1,"values":1,"clean_value":1,"corrupted_value":1}', "not a JSON object"),
    ],
)
def test_a_hostile_file_is_one_line_and_the_others_are_checked(
    tmp_path, checked, answering, content, says
):
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "good.json").write_text(handed_in(answering, 1).to_json())
    bad, *good = checked(tmp_path)
    assert says in bad.problem and len(good) == 4


def test_a_result_of_another_model_is_said_to_be_one(tmp_path, checked, answering, model):
    result = answering(builders.experiment())
    other = replace(result, model=replace(result.model, fingerprint="other"))
    (tmp_path / "a.json").write_text(exports.to_json(other))
    (row,) = checked(tmp_path)
    assert row.numbers == "another model's"


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_without_files_is_said_to_be_one(tmp_path, name):
    with pytest.raises(UserError, match="There is no "):
        list(checking.files_in(tmp_path / name))


def test_the_table_holds_no_formulas():
    rows = [checking.Checked("a.json", names="=1+1", answer="-1", repeats="@x")]
    (row,) = csv.DictReader(io.StringIO(checking.to_csv(rows)[1:]))
    assert (row["file"], row["names"], row["answer"], row["repeats"]) == (
        "a.json",
        " =1+1",
        " -1",
        " @x",
    )


def test_numbers_that_are_none_differ_and_stop_nothing(tmp_path, checked, answering):
    for name, value in {"a": "1e999", "b": "9" * 400, "c": "[1]", "d": '"x"', "e": "true"}.items():
        said = json.loads(exports.to_json(answering(builders.experiment())))
        said["values"][0][0] = "HERE"
        written = json.dumps(said).replace('"HERE"', value)
        (tmp_path / f"{name}.json").write_text(written)
    rows = checked(tmp_path)
    assert [row.numbers or row.problem for row in rows] == ["differ"] * 5
    assert all(map(checking.stands_out, rows))


@pytest.mark.parametrize(
    ("changes", "cell", "says"),
    [
        ({"embedding": True}, (0, 2), "embedding, position 2"),
        ({"embedding": True}, (3, 1), "layer 2, position 1"),
        ({"embedding": False}, (3, 1), "layer 3, position 1"),
        ({"site": "head_z"}, (3, 1), "layer 3, head 1"),
    ],
)
def test_the_cell_that_was_answered_is_called_as_on_its_map(
    tmp_path, checked, answering, changes, cell, says
):
    asked = builders.experiment(**changes)
    sheet = Worksheet("S", "", "teaching", (Task("find", "Find", "?", asked, find="strongest"),))
    said = Said(cell=cell, numbers=numbers_of(answering(asked)))
    (tmp_path / "a.json").write_text(HandedIn("Ann", sheet, (said,)).to_json())
    (row,) = checked(tmp_path)
    assert row.answer == says
