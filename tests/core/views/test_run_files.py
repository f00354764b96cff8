"""Files of what a run holds give the numbers that were read."""

import csv
import io
import json

import numpy as np
import pytest

from core.question.tokens import Token
from core.views.run_files import attention_csv, attribution_csv, lens_csv
from tests.builders import CELLS, experiment, finished, rows_of, steps_of


def test_the_lens_is_a_line_for_each_layer_and_position_of_both_runs(loaded):
    study = finished(experiment(), loaded)
    first, second, *_ = study.read(study.experiment).top["clean"]
    plain, ids = study.plain, (first.token.id, second.token.id)
    _, lenses = steps_of(plain.logit_lenses(ids))
    names = ("embedding", "0", "1", "2")
    tops = {
        s: [[plain.token(i) for i in row] for row in lens.top_ids.tolist()]
        for s, lens in lenses.items()
    }
    pair = tuple(map(plain.token, ids))
    lines = rows_of(lens_csv(lenses, names, plain.tokens, tops, pair))
    assert len(lines) == 2 * 4 * 7
    for number, line in enumerate(lines):
        side, cell = divmod(number, 28)
        i, p = divmod(cell, 7)
        lens = lenses[line["run"]]
        assert (line["run"], line["layer"]) == (("clean", "corrupted")[side], names[i])
        assert json.loads(line["token"]) == plain.tokens[line["run"]][p].text
        assert int(line["top_id"]) == lens.top_ids[i, p]
        assert float(line["prob"]) == lens.top_probs[i, p]
        if p < 6:
            assert line["target_logit"] == line["foil_rank"] == ""
        else:
            assert (int(line["target_id"]), int(line["foil_id"])) == ids
            assert [float(line[f"{t}_logit"]) for t in ("target", "foil")] == lens.logits[
                i
            ].tolist()
            assert [int(line[f"{t}_rank"]) for t in ("target", "foil")] == lens.ranks[i].tolist()


def test_the_parts_of_an_attribution_add_up_to_its_total(loaded):
    study = finished(experiment(), loaded)
    pair = study.read(study.experiment)
    parts = study.plain.attribution("clean", pair.target.id, pair.foil.id)
    lines = rows_of(attribution_csv({"clean": parts, "corrupted": parts}))
    own = [line for line in lines if line["run"] == "clean"]
    *summands, total = (float(line["logit_difference"]) for line in own)
    assert own[-1]["part"] == "total" and total == parts.total
    assert sum(summands) == pytest.approx(total, abs=1e-4)
    heads = [line for line in own if line["part"] == "head"]
    assert [(int(line["layer"]), int(line["head"])) for line in heads] == [*np.ndindex(3, 2)]
    assert [float(line["logit_difference"]) for line in heads] == parts.heads.ravel().tolist()


def test_an_attention_pattern_is_a_matrix_with_tokens_at_both_sides():
    tokens = tuple(Token(id, text) for id, text in enumerate(CELLS[:7]))
    pattern = np.tril(np.random.default_rng(0).random((7, 7)).astype(np.float32))
    lines = list(csv.reader(io.StringIO(attention_csv(pattern, tokens)[1:])))
    read = np.array([line[2:] for line in lines[1:]], dtype=np.float32)
    assert read.tobytes() == pattern.tobytes()
    assert [json.loads(line[1]) for line in lines[1:]] == CELLS[:7]
    assert [json.loads(name.split(" ", 2)[2]) for name in lines[0][2:]] == CELLS[:7]
