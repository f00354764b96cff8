"""`python -m core check` says what stands out, and its exit status whether anything does."""

import csv
import io
import json

import pytest

from core import models
from core.__main__ import main
from core.views import exports
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import HandedIn, Said, found, numbers_of


@pytest.fixture(autouse=True)
def machine_without_models(monkeypatch, tmp_path):
    for variable in ("PATCHBOARD_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def answered() -> str:
    """The ten claims, of which the first is answered wrongly and the last not at all."""
    sheet = BUNDLED["ten-ways"]
    said = [Said(choice=task.wrong) for task in sheet.tasks]
    said[0], said[9] = Said(choice="two changes"), Said()
    result = answer_to(sheet.tasks[1].experiment)
    said[1] = Said(choice=sheet.tasks[1].wrong, numbers=numbers_of(result))
    return HandedIn("Ann & Bo", sheet, tuple(said)).to_json()


def test_what_holds_is_counted_and_what_is_not_right_is_named(tmp_path, capsys, answered):
    (tmp_path / "ann.json").write_text(answered)
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said == (
        "ann.json (Ann & Bo): 9 of 10 tasks answered, not 10. Claim 10; 8 of them with no map's"
        " numbers to check\n"
        "  1. Claim 1: not right (two changes)\n"
        "1 file. Maps: 1 equal, 0 differ. Answers: 8 right, 1 not right.\n"
    )


def test_a_changed_number_ends_in_status_1_and_stands_in_the_table(tmp_path, capsys, answered):
    changed = json.loads(answered)
    changed["answers"][1]["numbers"]["values"][0][0] += 1
    (tmp_path / "ann.json").write_text(json.dumps(changed))
    assert main(["check", str(tmp_path), "--csv", "-"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out[1:])))
    assert [row["numbers"] for row in rows] == ["none", "differ", *["none"] * 7, ""]
    assert rows[1]["largest_difference"] == "1"


def test_a_result_of_a_map_is_checked_too(tmp_path, capsys):
    task = next(task for task in BUNDLED["first-steps"].tasks if task.find)
    result = answer_to(task.experiment)
    assert found(task, result)
    (tmp_path / "map.json").write_text(exports.to_json(result))
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "map.json: the numbers are equal\n"
        "1 file. Maps: 1 equal, 0 differ. Answers: 0 right, 0 not right.\n"
    )


def test_a_folder_that_is_not_there_is_one_line(capsys):
    assert main(["check", "/nowhere"]) == 2
    assert capsys.readouterr().err == "patchboard: There is no folder '/nowhere'.\n"


@pytest.mark.parametrize("name", ["gpt2", "owner/name"])
def test_no_model_is_brought_because_a_file_names_it(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(models, "download", None)
    said = json.loads(exports.to_json(answer_to(BUNDLED["first-steps"].tasks[0].experiment)))
    said["experiment"]["model"] = name
    (tmp_path / "map.json").write_text(json.dumps(said))
    assert main(["check", str(tmp_path)]) == 1
    expected = f"map.json: The model {name} is not on this machine: bring it first."
    assert capsys.readouterr().out.startswith(expected)
