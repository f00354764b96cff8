"""The code behind a map: run by itself it gives the map; what was typed stays a text in it."""

import ast
import io
import json
import os
import subprocess
import sys
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import catalogue, models
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.views import code, code_pieces
from mingpt import hub
from tests import builders

ROOT = Path(__file__).parents[3]
CAPITALS = Experiment("The capital of France is", "The capital of Italy is", " Paris", " Rome")

# Runs programs as `python FILE` does, all in one process, and keeps what each has computed.
# To write pictures takes as long as all the rest: of those that pyplot makes
# only the first is written.
RUN_ALL = """
import runpy, sys
import matplotlib.pyplot as plt
import numpy as np
maps, write = {}, plt.Figure.savefig
for path in sys.argv[1:]:
    names = runpy.run_path(path, run_name="__main__")
    maps[path] = np.asarray(names["values"] if "values" in names else names["result"].values)
    plt.Figure.savefig = lambda figure, to, **how: to == "map.png" or write(figure, to, **how)
    plt.close("all")
np.savez("maps.npz", **maps)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Models as the app offers them, one of them unlike GPT-2 in everything in which it may be."""
    folder = tmp_path_factory.mktemp("models")
    size = len(builders.tiny_encoder().encoder)
    usual = {"vocab_size": size, "block_size": 24}
    for name, unlike in (("tiny", {}), ("odd", builders.UNUSUAL)):
        gpt = builders.random_gpt(3, 2, 8, **usual | {"vocab_size": size + 300} | unlike)
        builders.write_model_folder(folder / name, gpt)
    return folder


@pytest.fixture(scope="module")
def offered(folders) -> LoadedModel:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATCHBOARD_MODELS", str(folders))
        return models.load(catalogue.find("local/odd"))


@pytest.fixture(scope="module")
def here(loaded) -> LoadedModel:
    """A model of which only the name and the tokenizer matter."""
    entry = replace(loaded.entry, name="local/tiny", folder=Path("/srv/secret/tiny"))
    return replace(loaded, entry=entry)


def run(programs: dict[str, str], folder: Path, **environment: str) -> dict[str, np.ndarray]:
    """The map that each program computes, in a folder of its own, with this repository alone; what
    all of them print is in said.txt."""
    for name, source in programs.items():
        (folder / name).write_text(source, encoding="utf-8")
    usual = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    subprocess.run(
        [sys.executable, "-c", RUN_ALL, *programs],
        cwd=folder,
        env=usual | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        check=True,
        stdout=(folder / "said.txt").open("wb"),
    )
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    with np.load(folder / "maps.npz") as maps:
        return dict(maps)


def joined(notebook: str) -> str:
    """The code of a notebook, from its first cell to its last."""
    cells = json.loads(notebook)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_every_program_computes_every_cell_of_the_map(tmp_path, folders, offered):
    """Every site, direction and metric, with windows and the embedding, of every kind of model that
    is on a disk; of the first one also the notebook and the fast program."""
    rome = models.load(catalogue.TEACHING)
    early = models.load(catalogue.named("teaching@seed1-step710"))
    by_path = models.load(catalogue.find(str(folders / "tiny")))
    sites, directions, metrics = ([*table] for table in (SITES, DIRECTIONS, METRICS))
    asked = [(rome, replace(CAPITALS, embedding=True)), (early, CAPITALS)]
    for number, site in enumerate(sites):
        told = {"site": site, "direction": directions[number % 4], "metric": metrics[number % 7]}
        asked.append((offered, builders.experiment(model="local/odd", **told)))
    others = (
        {"direction": "position_mean", "site": "head_pattern"},
        {"direction": "position_mean", "embedding": True, "bos": True},
        {"direction": "noise", "metric": "recovery", "embedding": True},
        {"direction": "zero", "window": 1, "embedding": True},
        {"window": 1, "site": "attn_out"},
        {"window": 5, "site": "mlp_out", "direction": "noise"},
    )
    asked += [(by_path, builders.experiment(model=str(folders / "tiny"), **of)) for of in others]
    programs, wanted = {}, {}
    for number, (model, experiment) in enumerate(asked):
        values = builders.finished(experiment, model).read(experiment).values
        cells, quick = code.plain(experiment, model), code.fast(experiment, model)
        made = {"plain": code.script(cells)}
        if number < 3:
            made |= {"book": joined(code.notebook(cells)), "fast": code.script(quick)}
        for kind, source in made.items():
            programs[f"{number}-{kind}.py"], wanted[f"{number}-{kind}.py"] = source, values
    computed = run(programs, tmp_path, PATCHBOARD_MODELS=str(folders))
    for name, values in wanted.items():
        limit = min(2e-5, 0.01 * np.ptp(values))  # of a probability the values are small
        assert limit > 0
        np.testing.assert_allclose(computed[name], values, rtol=1e-5, atol=limit, err_msg=name)
    top = builders.finished(CAPITALS, rome).read(CAPITALS).top["clean"]
    said = (tmp_path / "said.txt").read_text("utf-8").splitlines()
    printed = said[said.index("clean run: position (rank), token index, token, probability") + 1 :]
    for row, line in zip(top[:20], printed, strict=False):
        rank, index, *_, percent = line.split()
        assert [int(rank), int(index)] == [row.rank, row.token.id]
        assert float(percent.rstrip("%")) == pytest.approx(100 * row.prob, rel=1e-3)


def test_the_program_of_an_assignment_is_short_enough_to_be_read_at_once(here):
    lines = code.script(code.plain(CAPITALS, here)).splitlines()
    assert sum(bool(line) for line in lines) <= 64
    assert max(map(len, lines)) < 100


def test_the_sites_and_metrics_are_all_known():
    assert code_pieces.MEASURES.keys() == METRICS.keys()


# All characters of the Basic Multilingual Plane's beginning, half surrogates, and others that print
# nothing; ends of literals and of comments; what templates fill in.
HOSTILE = (
    "".join(map(chr, (*range(0x3000), *range(0xD7F0, 0xE010), 0xFEFF, 0xFFFF, 0x1F600, 0xE0001))),
    "'''; import os #",
    '"""\\',
    "$x ${clean_text} {target} \\N{BULLET}\\",
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("write", [code.plain, code.fast])
def test_what_was_typed_is_nothing_but_the_literal_of_a_text(here, write, text):
    """Whatever it is: the program has the same words but for these literals, which are the texts,
    and so has the notebook."""
    asked = Experiment(f"a{text}", f"b{text}", f"c{text}", f"d{text}")
    cells, usual = write(asked, here), write(Experiment("a", "b", "c", "d"), here)
    source = code.script(cells)
    source.encode("utf-8")
    literals = {of.value for of in ast.walk(ast.parse(source)) if isinstance(of, ast.Constant)}
    assert {asked.clean, asked.corrupted, asked.target, asked.foil} <= literals
    assert words(source) == words(code.script(usual))
    notebook = code.notebook(cells)
    notebook.encode("ascii")
    assert words(joined(notebook)) == words(joined(code.notebook(usual)))


def words(source: str) -> list[str]:
    """The words of a program and its comments, with a blank for each literal of a text."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return ["" if token.type == tokenize.STRING else token.string for token in tokens]


def test_a_model_is_named_so_that_the_same_weights_are_found_again(here, monkeypatch):
    def program(**changes) -> str:
        entry = replace(here.entry, **changes)
        card = replace(here.card, dtype="bfloat16")
        return code.script(code.plain(CAPITALS, replace(here, entry=entry, card=card)))

    hostile = "/models/'x\n'"
    assert f"Path({hostile!r})" in program(name=hostile, folder=Path(hostile))
    server = program()
    assert "Path(os.environ[\"PATCHBOARD_MODELS\"], 'tiny')" in server and "secret" not in server
    assert "GPT.from_pretrained(folder, torch.bfloat16)" in server
    assert "folder = hub.fetch('gpt2')" in program(name="gpt2", folder=None)
    release = hub.Release("owner/name", "c0ffee" + 34 * "0", ())
    monkeypatch.setattr(hub, "release", lambda name: release)
    named = f"hub.fetch('owner/name@{release.revision}')"
    assert named in program(name="owner/name@main", folder=None)


def test_a_notebook_has_what_is_said_between_its_cells(here):
    cells = code.plain(CAPITALS, here)
    made = json.loads(code.notebook(cells))
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code"] * len(cells)
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    for cell in made["cells"]:
        own = {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        assert cell.keys() == {"id", "cell_type", "metadata", "source"} | own
