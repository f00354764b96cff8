"""Files of a result: read again, they give the same numbers."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import Ranked, Result
from core.views.exports import from_json, grid_csv, read_grid_csv, to_json, top_csv
from core.views.words import summary, wording
from tests.builders import answer

HOSTILE = ["=1+1", "+1", "-1", "@x", '"', ",", "\r\n", "\t=1", " Jones", "🙂", "\x7f", "\u2028"]


@pytest.fixture(params=[{}, {"embedding": True}, {"bos": True, "metric": "kl"}], ids=str)
def any_result(request, loaded) -> Result:
    return answer(loaded, **request.param)


def hostile(result: Result) -> Result:
    """The result with hostile tokens in place of its own."""
    tokens = tuple(Token(id, text) for id, text in enumerate(HOSTILE[: len(result.clean)]))
    rest = tuple(Token(99 + id, text) for id, text in enumerate(HOSTILE[-len(result.clean) :]))
    top = tuple(Ranked(n, Token(n, text), 0.5, 0.25) for n, text in enumerate(HOSTILE, start=1))
    return replace(result, clean=tokens, corrupted=rest, top={"clean": top, "corrupted": top})


def told(result: Result) -> dict:
    """All of a result, its grids bit by bit."""
    grids = {name: (grid.dtype, grid.shape, grid.tobytes()) for name, grid in result.grids.items()}
    return vars(result) | {"grids": grids}


def test_json_read_back_is_the_result(any_result, loaded):
    heads = answer(loaded, site="head_z_position").at(3)
    for result in (any_result, hostile(any_result), heads):
        assert told(from_json(to_json(result))) == told(result)


@pytest.mark.parametrize("parts", [("clean", "corrupted"), ("plain_runs",)])
def test_files_of_every_version_are_read(result, parts):
    """Older ones time both runs apart, and know no position of a map."""
    seconds = dict.fromkeys(("load", *parts, "sweep"), 0.25)
    data = json.loads(to_json(replace(result, seconds=seconds)))
    del data["at_position"]
    assert told(from_json(json.dumps(data))) == told(replace(result, seconds=seconds))


def test_every_float32_survives_json_and_csv(result):
    numbers = [1e-45, -1e-38, 3.4e38, -0.0, 0.1, 1 / 3, 1e-7, 16777217.0]
    grid = np.resize(np.array(numbers, dtype=np.float32), result.values.shape)
    odd = replace(result, grids={metric: grid for metric in METRICS})
    assert told(from_json(to_json(odd))) == told(odd)
    assert told(replace(odd, grids=read_grid_csv(grid_csv(odd)))) == told(odd)


def test_json_has_the_keys_that_scripts_rely_on(any_result):
    data = json.loads(to_json(any_result))
    assert data["experiment"] == any_result.experiment.to_dict()
    assert set(data["model"]) == {"name", "fingerprint", "layers", "parameters", "dtype"}
    assert data["tokens"].keys() == {"clean", "corrupted"}
    assert data["tokens"]["clean"][-1] == {"id": any_result.clean[-1].id, "text": " Anna"}
    assert data["axes"] == ["layer", "position"]
    assert data["metric"] == any_result.experiment.metric
    assert np.shape(data["values"]) == (3, len(any_result.clean))  # layers x positions, always
    baseline = any_result.baselines[data["metric"]]
    assert (data["clean_value"], data["corrupted_value"]) == (baseline.clean, baseline.corrupted)
    for side in ("clean", "corrupted"):
        assert len(data["top"][side]) == 20
        assert list(data["top"][side][0]) == ["rank", "id", "token", "logit", "prob"]
    assert data["seconds"] == any_result.seconds


def test_an_unfinished_result_is_no_file(result):
    values = np.full_like(result.values, np.nan)
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(replace(result, grids={"logit_diff": values}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"experiment": {"clean": "a"}}'])
def test_another_json_text_is_no_result(text, result):
    with pytest.raises(UserError, match="This is no result that Patchboard wrote"):
        from_json(text)
    with pytest.raises(UserError, match="There is no metric 'magic'"):
        from_json(to_json(result).replace('"logit_diff"', '"magic"'))


# --- CSV ----------------------------------------------------------------------------------------


def rows(text: str) -> list[dict]:
    assert text.startswith("\ufeff")  # so that spreadsheets read UTF-8
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def test_the_grid_read_back_is_the_grid_of_every_metric(any_result):
    for result in (any_result, hostile(any_result)):
        assert told(replace(result, grids=read_grid_csv(grid_csv(result)))) == told(result)


def test_the_grid_is_in_long_form(any_result):
    lines = rows(grid_csv(any_result))
    positions = len(any_result.clean)
    assert len(lines) == len(any_result.rows) * positions
    for number, line in enumerate(lines):
        row, position = divmod(number, positions)
        assert (line["layer"], line["position"]) == (any_result.rows[row], str(position))
        for side in ("clean", "corrupted"):
            token = getattr(any_result, side)[position]
            assert line[f"{side}_id"] == str(token.id)
            assert json.loads(line[f"{side}_token"]) == token.text
        for metric, grid in any_result.grids.items():
            assert np.float32(line[metric]) == grid[row, position]


def test_the_tables_are_a_line_for_each_token(result):
    lines = rows(top_csv(result))
    assert [line["run"] for line in lines] == ["clean"] * 20 + ["corrupted"] * 20
    for line, row in zip(lines, [*result.top["clean"], *result.top["corrupted"]], strict=True):
        assert (int(line["rank"]), int(line["token_id"])) == (row.rank, row.token.id)
        assert json.loads(line["token"]) == row.token.text
        assert (float(line["logit"]), float(line["prob"])) == (row.logit, row.prob)


def test_no_cell_is_run_as_a_formula_and_hostile_tokens_survive(result):
    odd = hostile(result)
    for line in rows(grid_csv(odd)) + rows(top_csv(odd)):
        for cell in (cell for name, cell in line.items() if name.endswith("token")):
            assert cell[0] == '"'  # a JSON string, never = + - @
            assert json.loads(cell) in HOSTILE


@pytest.mark.parametrize("text", ["", "layer,position,kl\n0,0,x\n", "position,kl\n1,2\n"])
def test_another_csv_text_is_no_grid(text):
    with pytest.raises(UserError, match="This is no grid that Patchboard wrote"):
        read_grid_csv(text)


@pytest.mark.parametrize(
    "question", [{}, {"site": "head_z", "direction": "noise", "metric": "recovery"}]
)
def test_a_file_says_in_words_what_was_patched_and_how_to_read_it(loaded, question):
    result = answer(loaded, **question)
    assert json.loads(to_json(result))["in_words"] == {
        "patched": summary(result),
        "metric": wording(result),
        "reading": METRICS[result.experiment.metric].says,
    }
    asked = (result.experiment.site, result.experiment.direction)
    assert {(line["site"], line["direction"]) for line in rows(grid_csv(result))} == {asked}
