"""Files of a result: read again, they give the same numbers."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import Ranked, Result, SmokeTest
from core.views.exports import (
    Chosen,
    compared_csv,
    from_json,
    grid_csv,
    matrix_csv,
    read_grid_csv,
    to_json,
    top_csv,
)
from core.views.words import replaced, summary, wording
from tests.builders import CELLS, answer, experiment, finished, rows_of


@pytest.fixture(params=[{}, {"embedding": True}, {"bos": True, "metric": "kl"}], ids=str)
def any_result(request, loaded) -> Result:
    return answer(loaded, **request.param)


def hostile(result: Result) -> Result:
    """The result with hostile tokens in place of its own."""
    tokens = tuple(Token(id, text) for id, text in enumerate(CELLS[: len(result.clean)]))
    rest = tuple(Token(99 + id, text) for id, text in enumerate(CELLS[-len(result.clean) :]))
    top = tuple(Ranked(n, Token(n, text), 0.5, 0.25) for n, text in enumerate(CELLS, start=1))
    return replace(result, clean=tokens, corrupted=rest, top={"clean": top, "corrupted": top})


def told(result: Result) -> dict:
    """All of a result, its grids bit by bit."""
    grids = {name: (grid.dtype, grid.shape, grid.tobytes()) for name, grid in result.grids.items()}
    return vars(result) | {"grids": grids}


def test_json_read_back_is_the_result(any_result, loaded):
    heads = answer(loaded, site="head_z_position").at(3)
    for result in (any_result, hostile(any_result), heads):
        assert told(from_json(to_json(result))) == told(replace(result, seconds={}))


@pytest.mark.parametrize("parts", [("clean", "corrupted"), ("plain_runs",)])
def test_files_of_every_version_are_read(result, parts):
    """Older ones say how long what took, and know no position of a map."""
    seconds = dict.fromkeys(("load", *parts, "sweep"), 0.25)
    data = json.loads(to_json(result)) | {"seconds": seconds}
    del data["at_position"]
    assert told(from_json(json.dumps(data))) == told(replace(result, seconds=seconds))


def test_a_models_card_is_in_the_file_whole(result):
    test = SmokeTest("Some text.", 9.5, 30, 7.6, 3.12)
    card = replace(
        result.model,
        source="the hub's repository a/b, revision main",
        revision="12" * 20,
        settings={"n_inner": 9, "activation_function": "relu"},
        notes=("h.0.attn.bias was left out",),
        smoke_test=test,
    )
    text = to_json(replace(result, model=card))
    assert from_json(text).model == card
    said = json.loads(text)
    assert said["model"]["smoke_test"]["loss"] == 9.5
    assert said["in_words"]["model"].startswith("This model does not predict ordinary text; is its")


def test_every_float32_survives_json_and_csv(result):
    numbers = [1e-45, -1e-38, 3.4e38, -0.0, 0.1, 1 / 3, 1e-7, 16777217.0]
    grid = np.resize(np.array(numbers, dtype=np.float32), result.values.shape)
    odd = replace(result, grids={metric: grid for metric in METRICS})
    assert told(from_json(to_json(odd))) == told(replace(odd, seconds={}))
    assert told(replace(odd, grids=read_grid_csv(grid_csv(odd)))) == told(odd)


def test_json_has_the_keys_that_scripts_rely_on(any_result):
    data = json.loads(to_json(any_result))
    assert data["experiment"] == any_result.experiment.to_dict()
    assert data["model"].keys() >= {"name", "fingerprint", "layers", "parameters", "dtype"}
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


def test_the_grid_read_back_is_the_grid_of_every_metric(any_result):
    for result in (any_result, hostile(any_result)):
        assert told(replace(result, grids=read_grid_csv(grid_csv(result)))) == told(result)


def test_the_grid_is_in_long_form(any_result):
    lines = rows_of(grid_csv(any_result))
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
    lines = rows_of(top_csv(result))
    assert [line["run"] for line in lines] == ["clean"] * 20 + ["corrupted"] * 20
    for line, row in zip(lines, [*result.top["clean"], *result.top["corrupted"]], strict=True):
        assert (int(line["rank"]), int(line["token_id"])) == (row.rank, row.token.id)
        assert json.loads(line["token"]) == row.token.text
        assert (float(line["logit"]), float(line["prob"])) == (row.logit, row.prob)


def test_no_cell_is_run_as_a_formula_and_hostile_tokens_survive(result):
    odd = replace(hostile(result), model=replace(result.model, name="=1+1"))
    for line in rows_of(grid_csv(odd)) + rows_of(top_csv(odd)):
        assert line["model"] == " =1+1"
        for cell in (cell for name, cell in line.items() if name.endswith("token")):
            assert cell[0] == '"'  # a JSON string, never = + - @
            assert json.loads(cell) in CELLS


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
        "model": "Whether it predicts ordinary text is not known.",
    }
    asked = (result.experiment.site, result.experiment.direction)
    assert {(line["site"], line["direction"]) for line in rows_of(grid_csv(result))} == {asked}


# --- A chosen cell --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cell", "place"),
    [
        ({"embedding": True}, (0, 4), {"layer": "embedding", "position": 4}),
        ({"site": "head_z"}, (2, 1), {"layer": "2", "head": 1}),
        ({"site": "head_z_position"}, (2, 1, 5), {"layer": "2", "head": 1, "position": 5}),
    ],
)
def test_the_patched_run_of_a_chosen_cell_is_in_the_files_with_its_cell(
    loaded, changes, cell, place
):
    study = finished(experiment(**changes), loaded)
    whole = study.read(study.experiment)
    shown = whole if len(cell) == 2 else whole.at(cell[2])
    chosen = Chosen(*cell[:2], study.patched_next_tokens(cell))
    table = rows_of(top_csv(shown, chosen))
    assert [line["run"] for line in table[-20:]] == ["patched"] * 20
    for line, moved in zip(table[-20:], chosen.top, strict=True):
        assert (int(line["token_id"]), float(line["prob"])) == (moved.now.token.id, moved.now.prob)
        assert {axis: line[f"patched_{axis}"] for axis in place} == {
            axis: str(at) for axis, at in place.items()
        }
    assert {line[f"patched_{axis}"] for line in table[:-20] for axis in place} == {""}

    text = to_json(whole, shown, chosen)
    patched = json.loads(text)["patched_run"]
    assert patched["cell"] == place
    assert patched["in_words"] == replaced(shown, *cell[:2])
    first = chosen.top[0]
    assert patched["top"][0] == {
        "rank": 1,
        "id": first.now.token.id,
        "token": first.now.token.text,
        "logit": first.now.logit,
        "prob": first.now.prob,
        "clean_rank": first.clean_rank,
        "corrupted_rank": first.corrupted_rank,
    }
    assert told(from_json(text)) == told(replace(whole, seconds={}))
    assert "patched_run" not in json.loads(to_json(whole))


# --- Matrices -------------------------------------------------------------------------------------


def test_the_matrix_is_read_by_numpy_and_says_what_it_is(any_result, tmp_path):
    for result in (any_result, hostile(any_result)):
        path = tmp_path / "matrix.csv"
        path.write_text(matrix_csv(result), encoding="utf-8")
        layers = result.values[int(result.rows[0] == "embedding") :]
        read = np.loadtxt(path, delimiter=",")
        assert read.astype(np.float32).tobytes() == layers.tobytes() and len(read) == 3
        about = dict(
            line[2:].split(": ", 1) for line in path.read_text().splitlines() if line[0] == "#"
        )
        assert about["patched"] == summary(result)
        assert json.loads(about["clean"]) == [token.text for token in result.clean]
        for run in ("clean", "corrupted"):
            assert float(about[f"{run} run"]) == result.plain(result.experiment.metric, run)
        assert ("embedding" in about) == result.experiment.embedding
        assert ("the embedding, which is no layer," in about["lines"]) == ("embedding" in about)
        if result.experiment.embedding:
            embedding = np.array(about["embedding"].split(","), dtype=np.float32)
            assert embedding.tobytes() == result.values[0].tobytes()
        assert path.read_text().isascii()


def test_a_matrix_says_its_metric_in_plain_words(result):
    assert '# values: logit(" Poe") - logit(" Lee")' in matrix_csv(result).splitlines()


def test_a_matrix_has_two_axes(loaded):
    cube = answer(loaded, site="head_z_position")
    with pytest.raises(UserError, match="a matrix has two axes and head_z_position has three"):
        matrix_csv(cube)
    heads = np.loadtxt(io.StringIO(matrix_csv(cube.at(3))), delimiter=",")
    np.testing.assert_array_equal(heads.astype(np.float32), cube.values[:, :, 3])


# --- Two maps ------------------------------------------------------------------------------------


def test_two_results_are_compared_cell_by_cell(loaded):
    one, other = (answer(loaded, direction=name) for name in ("denoise", "noise"))
    lines = rows_of(compared_csv(one, other, ("denoise", "noise")))
    for line, cell in zip(lines, np.ndindex(one.values.shape), strict=True):
        assert (line["layer"], line["position"]) == (one.rows[cell[0]], str(cell[1]))
        assert np.float32(line["denoise"]) == one.values[cell]
        assert np.float32(line["noise"]) == other.values[cell]
        assert (line["noise_direction"], line["denoise_metric"]) == ("noise", "logit_diff")
    assert "noise - denoise" not in lines[0]  # from two runs, so that no effect would be one
    both = rows_of(
        compared_csv(one, replace(one, grids={"logit_diff": one.values + 1}), ("a", "b"))
    )
    assert all(float(line["b - a"]) == pytest.approx(1, abs=1e-5) for line in both)
    by_kl = answer(loaded, metric="kl")
    assert "b - a" not in rows_of(compared_csv(one, by_kl, ("a", "b")))[0]
    with pytest.raises(UserError, match="these two have other cells"):
        compared_csv(one, answer(loaded, site="head_z"), ("a", "b"))
