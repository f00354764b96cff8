"""Files of the answer to many pairs: opened by other programs, they say what was found."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from core.many import pairs
from core.many.answer import Answer
from core.many.pairs import Dropped
from core.models import LoadedModel
from core.question.metrics import METRICS
from core.views.many_files import files, values, zipped
from core.views.words import caption
from tests import answers
from tests.builders import rows_of

IDS = ["=1+1", "+1", "-2", "@x", 'a,b;"c"', "two\nlines", "🙂", "nan"]


def hostile(model: LoadedModel) -> list[pairs.Pair]:
    """Pairs with ids, groups and targets that something or other would change or run; all but
    the second to fourth flip."""
    made = [answers.pair(number, id) for number, id in enumerate(IDS)]
    made[1] = replace(made[1], target=("=", " Poe"))
    made[2] = replace(made[2], target=("-",), foil=("\r",))
    made[3] = replace(made[3], target=("+1 met",))  # is several tokens
    for number in (0, *range(4, len(IDS))):
        ids = flipping(model, made[number])
        made[number] = replace(
            made[number], target=(), foil=(), target_ids=ids[:1], foil_ids=ids[1:]
        )
    return [replace(pair, group=IDS[number % 3]) for number, pair in enumerate(made)]


def flipping(model: LoadedModel, pair: pairs.Pair) -> tuple[int, int]:
    """Two tokens of which the first wins on the clean run and the second on the corrupted one."""
    texts = (torch.tensor([model.encoder.encode(text)]) for text in (pair.clean, pair.corrupted))
    clean, corrupted = (model.gpt(text)[0][0, -1] for text in texts)
    ahead = [of[:, None] - of for of in (clean, -corrupted)]
    target, foil = divmod(torch.minimum(*ahead).argmax().item(), len(clean))
    return target, foil


@pytest.fixture(scope="module")
def answer(loaded) -> Answer:
    """Of seven pairs two do not flip; of four more rows the pair is not known."""
    rows = [Dropped(30, "", "The row has no clean."), Dropped(5000, "=2+2", "=3 is no\ntext.")]
    long = replace(answers.pair(3, "long"), line=31, clean="met " * 40)
    return answers.many(loaded, [*hostile(loaded), long], rows, "flips", metric="prob_diff")


def opened(content: str | bytes) -> list[dict[str, str]]:
    """A CSV file as a spreadsheet reads it; no cell of it is run as a formula."""
    text = content if isinstance(content, str) else content.decode()
    rows = rows_of(text)
    for name, cell in (item for row in rows for item in row.items()):
        assert None not in (name, cell)  # as many cells as columns
        assert is_number(cell) or not cell.startswith(("=", "+", "-", "@")), (name, cell)
    return rows


def is_number(cell: str) -> bool:
    try:
        return bool(cell) and float(cell) == float(cell)
    except ValueError:
        return False


def test_the_pairs_are_all_that_were_given_with_what_the_model_says_to_them(answer):
    rows = opened(files(answer)["pairs.csv"]())
    assert len(rows) == answer.given == 11
    assert [int(row["line"]) for row in rows] == sorted(int(row["line"]) for row in rows)
    by_line = {int(row["line"]): row for row in rows}
    known = [*answer.pairs, *answer.left_out]
    assert (len(answer.pairs), len(answer.left_out)) == (5, 2)
    for of in known:
        row, found = by_line.pop(of.pair.pair.line), of.screened
        assert (row["kept"] == "yes") == (of in answer.pairs)
        assert row["kept"] == row["flips"]  # which is what was asked for
        assert (row["why_not"] == "") == (row["kept"] == "yes")
        assert float(row["ld_clean"]) == found.clean_difference
        assert float(row["ld_corrupted"]) == found.corrupted_difference
        assert json.loads(row["clean_top_token"]) == found.clean_top.text
        assert int(row["corrupted_top_id"]) == found.corrupted_top.id
        assert int(row["target_rank"]) == found.target_rank
        assert float(row["foil_prob"]) == found.foil_prob
        assert row["target_is_first"] == ("yes" if found.target_rank == 1 else "no")
    assert [
        (line, row["id"].strip(), row["why_not"].strip()[:9]) for line, row in by_line.items()
    ] == [
        (5, "@x", "The targe"),
        (30, "", "The row h"),
        (31, "long", "The clean"),
        (5000, "=2+2", "=3 is no\n"),
    ]


def test_the_pairs_can_be_read_again_as_they_are(answer):
    read, dropped = pairs.read(files(answer)["pairs.csv"]().encode(), "pairs.csv")
    known = sorted((of.pair.pair for of in (*answer.pairs, *answer.left_out)), key=lambda p: p.line)
    assert [replace(pair, line=0) for pair in read] == [replace(pair, line=0) for pair in known]
    assert {pair.id for pair in read} == {*IDS} - {"@x"}
    assert len(dropped) == 4 and all("list of texts" in row.reason for row in dropped)


def test_the_values_of_each_pair_are_in_parquet_and_the_same_in_csv(answer):
    made = files(answer)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(made["values.parquet"]()))
    said = file.schema_arrow.metadata
    assert said[b"caption"].decode() == caption(answer)
    assert json.loads(said[b"experiment"])["metric"] == "prob_diff"
    assert (int(said[b"n"]), int(said[b"n_given"])) == (answer.summary.n, 11)
    table = file.read().to_pandas()
    assert [*table.layer.cat.categories] == ["0", "1", "2"] and table.layer.cat.ordered
    assert [*table.role.cat.categories] == [*answer.columns]
    for of in answer.pairs:
        own = table[table.id == of.pair.pair.id]
        assert set(own.group) == {of.pair.pair.group}
        grids = {
            metric: own.pivot(index="layer", columns="role", values=metric) for metric in METRICS
        }
        for metric, grid in of.values.grids.items():
            np.testing.assert_array_equal(grids[metric], grid)
            ends = (set(own[f"{metric}_{side}"]) for side in ("clean", "corrupted"))
            assert tuple(end.pop() for end in ends) == pytest.approx(of.values.baselines[metric])
        clean, corrupted = of.values.baselines["logit_diff"]
        part = (of.values.grids["logit_diff"] - corrupted) / (clean - corrupted)
        np.testing.assert_allclose(grids["recovery"], part, rtol=1e-5, atol=1e-6)
    rows = opened(made["values.csv"]())
    assert [*rows[0]] == [*table.columns] and len(rows) == len(table)
    assert [row["id"].strip() for row in rows] == [*table.id]
    np.testing.assert_array_equal(np.float32([row["kl"] for row in rows]), table.kl)


def test_a_recovery_that_is_none_is_none(answer):
    first, *others = answer.pairs
    ends = first.values.baselines | {"logit_diff": (1.0, 1.001)}
    first = first._replace(values=replace(first.values, baselines=ends))
    flat = replace(answer, pairs=(first, *others))
    read = values(flat).column("recovery").to_pandas()
    cells = answer.values.size
    assert read[:cells].isna().all() and read[cells:].notna().all()


def test_a_map_of_three_axes_has_all_of_them_in_its_values_and_no_picture(loaded):
    whole = answers.many(loaded, [answers.pair(n) for n in range(4)], site="head_z_position")
    made = files(whole)
    assert not [name for name in made if name.startswith("map")]
    table = pyarrow.parquet.read_table(io.BytesIO(made["values.parquet"]())).to_pandas()
    for of in whole.pairs:
        own = table[table.id == of.pair.pair.id].set_index(["layer", "head", "role"]).kl
        for (layer, head, column), value in np.ndenumerate(of.values.grids["kl"]):
            assert own[str(layer), head, whole.columns[column]] == value
    at = whole.at(1)
    flat = values(at).to_pandas()
    wanted = np.stack([of.values.grids["kl"][..., 1] for of in whole.pairs])
    np.testing.assert_array_equal(flat.kl, wanted.ravel())
    assert {"map.png", "map.svg", "map.pdf"} <= set(files(at))
    odd = replace(at, at_column=(1, "=\ud800"))
    assert b"=\\ud800" in zipfile.ZipFile(io.BytesIO(zipped(odd))).read("summary.csv")
    assert pyarrow.parquet.read_table(io.BytesIO(files(odd)["values.parquet"]())).num_rows
    assert {row["at"] for row in opened(files(at)["summary.csv"]())} == {"name"}


def test_the_summary_is_what_numpy_makes_of_the_values(loaded):
    answer = answers.many(loaded, hostile(loaded)[:1] + [answers.pair(n) for n in range(4, 9)])
    rows = opened(files(answer)["summary.csv"]())
    ends = np.array([of.values.baselines["logit_diff"] for of in answer.pairs])
    cells = np.stack([of.values.grids["logit_diff"] for of in answer.pairs]).astype(float)
    whole = (ends[:, 0] - ends[:, 1]).mean()
    parts = (cells - ends[:, 1, None, None]) / whole
    mean = parts.mean(axis=0)
    for row, (layer, column) in zip(rows, np.ndindex(mean.shape), strict=True):
        assert (row["layer"], row["role"]) == (str(layer), answer.columns[column])
        assert float(row["mean"]) == pytest.approx(mean[layer, column], abs=1e-6)
        own = parts[:, layer, column]
        assert float(row["median"]) == pytest.approx(np.median(own), abs=1e-6)
        assert float(row["greatest"]) == pytest.approx(own.max(), abs=1e-6)
        low, high = float(row["low"]), float(row["high"])
        assert (row["says_nothing"] == "yes") == (low - 1e-4 <= 0 <= high + 1e-4)
        apart = abs(mean[layer, column] - mean.mean()) > 2 * mean.std()
        assert row["stands_out"] == ("yes" if apart else "no")
        agree = (np.sign(own) == np.sign(own.mean())).mean()
        assert float(row["agreement"]) == pytest.approx(agree) and row["n"] == "6"
    assert {row["says_nothing"] for row in rows} == {"yes", "no"}
    assert {(row["metric"], row["site"], row["keep"]) for row in rows} == {
        ("recovery", "resid_post", "all")
    }


def test_all_files_are_in_one_and_equal_answers_give_equal_bytes(answer):
    content = zipped(answer)
    assert content == zipped(replace(answer))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        made = {name: archive.read(name) for name in archive.namelist()}
    assert set(made) == set(files(answer))
    data = json.loads(made["answer.json"])
    assert (data["n_used"], data["n_given"]) == (answer.summary.n, 11)
    assert Image.open(io.BytesIO(made["map.png"])).convert("L").getextrema() == (0, 255)
    assert made["map.pdf"].startswith(b"%PDF")
    assert answer.used in made["map.svg"].decode()


def test_the_readme_says_what_is_what_and_its_code_runs(answer, tmp_path, monkeypatch, capsys):
    readme = files(answer)["README.txt"]()
    said = " ".join(readme.split())
    assert caption(answer) in said and answer.used in said
    names = [name for name in files(answer) if name != "README.txt"]
    assert all(name in readme for name in names)
    (tmp_path / "pairs.csv").write_text(files(answer)["pairs.csv"](), encoding="utf-8", newline="")
    (tmp_path / "values.parquet").write_bytes(files(answer)["values.parquet"]())
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(readme[readme.index("import pandas") :], found)
    assert "last position" in capsys.readouterr().out
    by_cell = found["by_cell"]["prob_diff"].mean().unstack()
    np.testing.assert_allclose(by_cell, answer.values, atol=1e-6)
    assert {*IDS} <= {*found["pairs"].id.dropna().str.strip()}
