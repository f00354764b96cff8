"""The key to a worksheet is computed: cells that count, what moves, what is wrong."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from core.__main__ import main
from core.guess import TOWARDS, came_out
from core.steps import finish
from core.worksheets import key
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import Said, is_right
from core.worksheets.worksheet import Task, Worksheet
from tests import builders

PAIR = builders.experiment()
SHEET = Worksheet(
    "=Sheet",
    "About",
    "teaching",
    (
        Task("find", "=Find", "Which cell?", PAIR, find="strongest"),
        Task("predict", "Guess", "Where?", replace(PAIR, direction="noise")),
        Task("diagnose", "Claim", "What is wrong?", PAIR, wrong="no flip"),
        Task("explain", "Explain", "Why?"),
        Task("map", "Long", "What?", replace(PAIR, clean="one word more " * 30)),
    ),
)


@pytest.fixture(scope="module")
def model():
    return builders.loaded_model()


@pytest.fixture(scope="module")
def rows(model):
    return finish(key.key(SHEET, lambda name: model))


def test_exactly_the_cells_of_the_key_count_as_right():
    task = BUNDLED["first-steps"].tasks[1]
    (row,) = finish(key.key(Worksheet("", "", "teaching", (task,))))
    result = answer_to(task.experiment)
    cells = np.ndindex(result.values.shape)
    assert set(row.cells) == {cell for cell in cells if is_right(task, Said(cell=cell), result)}
    assert len(row.cells) > 3 and row.cells_in_words.startswith("embedding, position 1; layer 0")
    assert row.clean_value == round(result.plain("logit_diff", "clean"), 6)


def test_of_a_prediction_it_says_what_moves_and_of_a_claim_what_is_wrong(rows, model):
    asked = SHEET.tasks[1].experiment
    moved = came_out(builders.finished(asked, model).read(asked))
    assert len(rows[1].towards) == (moved == TOWARDS).sum()
    assert all(moved[cell] == TOWARDS for cell in rows[1].towards)
    assert (rows[2].wrong, rows[3].metric) == ("no flip", "")


def test_a_task_without_an_answer_says_why_and_the_others_have_theirs(rows):
    assert [bool(row.problem) for row in rows] == [False, False, False, False, True]


def test_the_table_runs_no_formula_and_keeps_signs(rows):
    table = list(csv.DictReader(io.StringIO(key.to_csv(rows)[1:])))
    assert table[0]["title"] == " =Find"
    assert float(table[0]["clean_value"]) == rows[0].clean_value
    assert json.loads(key.to_json(SHEET, rows))["digest"] == SHEET.digest


def test_the_command_writes_it(tmp_path, capsys):
    written = (
        '{"is":"patchboard worksheet","title":"t","about":"","model":"teaching","tasks":'
        '[{"kind":"explain","title":"Why","asks":"?"}]}'
    )
    (tmp_path / "sheet.json").write_text(written)
    assert main(["key", str(tmp_path / "sheet.json"), "--json", "-"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer == {"number": 1, "kind": "explain", "title": "Why"}
    assert main(["key", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read (FileNotFoundError)." in capsys.readouterr().err
