"""A finding says all that its figure is of, and shows the numbers it was made from."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from core import catalogue, models
from core.errors import UserError
from core.guess import TOWARDS, Guess, score
from core.presets import PRESETS
from core.report import captions, findings
from core.report.figures import data_files, figures
from core.report.programs import programs
from core.views import colour_bar, colours, exports, guesses, path_files
from core.views.exports import read_grid_csv
from tests.builders import answer, finished


def said(finding) -> str:
    return "\n".join(" ".join(word for word, _ in line) for line in captions.caption(finding))


def marked(finding) -> list[str]:
    runs = (captions.runs(line) for line in captions.caption(finding))
    return [text for line in runs for text, is_marked in line if is_marked]


def test_a_caption_says_the_model_the_texts_the_pair_the_metric_and_the_baselines(kinds, result):
    text = said(kinds["map"])
    baseline = result.baselines["logit_diff"]
    for part in (
        "tiny (3 layers, float32, weights 0123456789ab)",
        "Clean text: Anna Lee met Bob Ray. Anna",
        "Corrupted text: Anna Poe met Bob Ray. Anna",
        'Target " Lee", foil " Poe"',
        'Logit difference = logit(" Poe") - logit(" Lee"). Negative where the target wins',
        "resid_post: clean into the corrupted run (denoise)",
        f"clean run {baseline.clean:.4f}, corrupted run {baseline.corrupted:.4f}",
        "the resid_post of layer 1 at position 2 replaced",
    ):
        assert part in text
    assert {"Lee", "Poe"} < {*marked(kinds["map"])}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("heads", ["at position 6", "LD clean", "0 is the corrupted run"]),
        ("paths", ["2.1.q", "all heads and MLPs between them frozen", 'foil " Poe"']),
        ("many", ["9 used of 9 given", "95% intervals of a bootstrap", "Crossed out"]),
        ("compare", ["(a) Denoise. Patched: resid_post: clean into", "(b) Noise. Patched: "]),
        ("lens", ["final LayerNorm", "weights 0123456789ab", 'Target " Lee"', "Anna Poe met"]),
    ],
)
def test_every_kind_says_what_it_is_of(kinds, kind, parts):
    for part in parts:
        assert part in said(kinds[kind])


def test_a_figure_has_the_stored_values_and_the_framed_cell(kinds, loaded):
    (figure,) = figures(kinds["map"])
    heat = figure.plotly.data[0]
    np.testing.assert_allclose(np.array(heat.z) * heat.meta, answer(loaded).values, atol=1e-6)
    assert {(shape.y0 + 0.5, shape.x0 + 0.5) for shape in figure.plotly.layout.shapes} == {(1, 2)}
    assert len(figures(kinds["compare"])) == 2


def test_what_several_figures_have_in_common_is_said_once(kinds, parts):
    text = said(parts)
    assert parts.title == "The parts of each layer: residual stream, attention, MLP and heads"
    assert text.startswith("Logit difference after patching the residual stream, the attention")
    for part in ("Model:", "Clean text:", "Target", "Patched:", "Unpatched:", "(denoise)"):
        assert text.count(part) == 1
    assert "Patched: clean into the corrupted run (denoise)." in text
    assert "(a), (b) and (c) have one colour scale." in text
    called = [figure.name for figure in figures(parts)]
    assert called[1] == "(b) Attention output (attn_out)" and "; ".join(called) in text
    both = said(kinds["compare"]).partition("(b) Noise. ")
    assert all("What is" in of and "Blue: " in of for of in both[::2])
    assert said(kinds["compare"]).count("Model:") == 1
    assert not figures(kinds["map"])[0].name and "(a)" not in said(kinds["map"])


def test_maps_have_one_scale_where_their_page_gives_them_one(kinds, loaded, parts):
    """On the page Components the maps by position, apart from that of heads; of paths into the
    query, the key and the value of a head each is a finding, and says how far the others reach."""
    *stream, heads = (figure.plotly.data[0] for figure in figures(parts))
    assert len({(heat.zmin, heat.zmax) for heat in stream}) == 1
    assert (heads.zmin, heads.zmax) != (stream[0].zmin, stream[0].zmax)
    both = [figure.plotly.data[0] for figure in figures(kinds["compare"])]
    ends = [colour_bar.paint(of, beside=[*kinds["compare"].maps.values()]).limits
            for of in kinds["compare"].maps.values()]  # fmt: skip
    assert [(heat.zmin, heat.zmax) for heat in both] == ends

    paths = kinds["paths"].opened.found
    further = 3 * colours.reach(paths)
    of = findings.finding(path_files.paths_json(paths, further))
    wide, alone = (figures(of)[0].plotly.data[0] for of in (of, kinds["paths"]))
    assert wide.zmax - wide.zmin > alone.zmax - alone.zmin
    assert figures(of)[0].picture("svg") != figures(kinds["paths"])[0].picture("svg")


@pytest.mark.parametrize("format", ["pdf", "png", "svg"])
def test_every_kind_has_a_picture(kinds, format):
    begins = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[format]
    for kind in ("map", "many", "lens") if format != "png" else kinds:
        for figure in figures(kinds[kind]):
            assert figure.picture(format).startswith(begins)


def test_the_top_20_are_as_in_the_assignment(kinds, result):
    clean, corrupted, patched = findings.tables(kinds["map"])
    assert clean.heads == ("position (rank)", "token index", "token", "probability")
    assert [row[0] for row in clean.rows] == [str(n) for n in range(1, 21)]
    for table, run in ((clean, "clean"), (corrupted, "corrupted")):
        assert [int(row[1]) for row in table.rows] == [of.token.id for of in result.top[run]]
    assert "layer 1 at position 2" in patched.title and len(patched.rows) == 20


def test_the_data_of_a_finding_are_the_stored_ones(kinds):
    files = data_files(kinds["map"])
    assert files["result.json"]() == kinds["map"].content
    stored = exports.from_json(kinds["map"].content).grids["kl"]
    np.testing.assert_array_equal(read_grid_csv(files["grid.csv"]())["kl"], stored)
    named = {kind: [*data_files(of)][1:] for kind, of in kinds.items()}
    assert named["paths"] == ["paths.csv"] and named["lens"] == ["lens.csv"]
    assert named["many"] == ["summary.csv"]
    assert {"grid-denoise.csv", "top20-noise.csv"} <= {*named["compare"]}
    for of in kinds.values():
        assert all(make() for make in data_files(of).values())


def test_a_map_has_its_program_and_other_findings_have_none(kinds):
    model = models.load(catalogue.TEACHING)
    asked = PRESETS[0].experiment("teaching")
    result = finished(asked, model).read(asked)
    noise = replace(asked, direction="noise")
    noised = finished(noise, model).read(noise)
    both = exports.maps_json("compare", {"denoise": result, "noise": noised})
    one = programs(findings.finding(exports.to_json(result)), model)
    two = programs(findings.finding(both), model)
    assert [*one] == ["program.py"] and [*two] == ["program-denoise.py", "program-noise.py"]
    assert all(asked.corrupted in source for source in (*one.values(), *two.values()))
    assert two["program-denoise.py"] == one["program.py"] != two["program-noise.py"]
    for kind in ("many", "paths", "lens"):
        assert not programs(kinds[kind], model)


@pytest.fixture(scope="module")
def parts(loaded) -> findings.Finding:
    """What the page Components puts into a report."""
    sites = ("resid_post", "attn_out", "mlp_out", "head_z")
    maps = {site: answer(loaded, site=site) for site in sites}
    return findings.finding(exports.maps_json("components", maps))


@pytest.fixture(scope="module")
def guess(result) -> Guess:
    return Guess.blank(result.values.shape).painted((0, 0), (1, 0), TOWARDS)


@pytest.fixture(scope="module")
def guessed(kinds, loaded, result, guess) -> dict[str, findings.Finding]:
    """Of every kind of map that can be predicted one that was."""

    def said(of):
        whole = Guess.blank(of.values.shape).painted((0, 0), (1, 0), TOWARDS)
        return guesses.said(of, whole, "$x$ <b>is\nread</b>.")

    heads = answer(loaded, site="head_z")
    many = json.loads(kinds["many"].content)
    (shown,) = kinds["many"].maps.values()
    contents = {
        "map": exports.to_json(result, guessed=said(result)),
        "heads": exports.maps_json(
            "components", {"attn_out": result, "head_z": heads}, {"head_z": said(heads)}
        ),
        "many": json.dumps(many | {"guess": said(shown)}),
    }
    return {kind: findings.finding(content) for kind, content in contents.items()}


@pytest.mark.parametrize("kind", ["map", "heads", "many"])
def test_a_guess_stands_beside_its_map_with_why_and_how_it_came_out(guessed, kind):
    of = guessed[kind]
    *others, expected, shown = figures(of)
    assert len(others) == (kind == "heads")
    heads = "Head output z (head_z): the "
    assert (expected.name, shown.name) == (
        (f"(b) {heads}guess", f"(c) {heads}map") if others else ("(a) The guess", "(b) The map")
    )
    painted = np.array(expected.plotly.data[0].z)
    assert np.argwhere(painted != painted[-1, -1]).tolist() == [
        list(cell) for cell in np.ndindex(2, 1)
    ]
    ((name, (guess, _)),) = of.guesses.items()
    found = score(guess, of.maps[name])
    outlined = {(line.y0 + 0.5, line.x0 + 0.5) for line in shown.plotly.layout.shapes}
    assert outlined == {one[:2] for one in found.surprises} and outlined
    before = re.escape("was hidden, because: “$x$ <b>is\nread</b>.”")
    _, told = re.split(rf"made while the map \([bc]\) {before}", said(of))
    assert f"right for {found.share:.0%} of the cells" in told
    assert f"correlation with the map is {found.correlation:.2f}" in told
    assert told.count("guessed “") == len(found.surprises)
    assert expected.picture("pdf").startswith(b"%PDF") != shown.picture("png").startswith(b"%PDF")


def test_a_guess_of_another_map_is_refused(result, guess):
    for cells in (guess.cells[1:], [[2] * 7] * 3, [[0]] * 3):
        of = json.loads(exports.to_json(result)) | {"guess": {"cells": cells, "why": ""}}
        with pytest.raises(UserError, match="is not one of a map of 3 rows and 7 columns"):
            findings.finding(json.dumps(of))
    with pytest.raises(UserError, match=r"has no “guess\.why”"):
        findings.finding(json.dumps(of | {"guess": {"cells": []}}))


def test_what_shows_nothing_is_no_finding():
    for content in ('{"patchboard": "history", "asked": []}', "[]", "{", '{"a": 1}'):
        with pytest.raises(UserError):
            findings.finding(content)


def test_a_file_of_a_page_that_is_not_known_here_is_told_by_its_numbers(result):
    data = json.loads(exports.to_json(result))
    asked = {name: data[name] for name in ("experiment", "model", "metric")}
    of = findings.finding(json.dumps(asked | {"strength": [0.25, 0.5]}))
    assert figures(of) == [] and "weights 0123456789ab" in said(of)
    (table,) = findings.tables(of)
    assert table.rows == [("strength[0]", "0.25"), ("strength[1]", "0.5")]


def test_a_set_is_told_by_what_was_asked_of_it(result):
    data = {"experiment": result.experiment.to_dict(), "components": ["1.0", "mlp2"]}
    data |= {"joint": {"value": 1.5, "share": 0.25}, "sufficient": None, "necessary": 0.5}
    data |= {"in_words": {"metric": "LD", "sufficient": "only S: does it come back?"}}
    of = findings.finding(json.dumps(data | {"shares": {"necessary": 0.75}}))
    (table,) = findings.tables(of)
    assert table.rows == [("necessary", "0.5000", "75%"), ("joint", "1.5000", "25%")]
    assert "Only S: does it come back?" in said(of) and "1.0 mlp2" in said(of)
