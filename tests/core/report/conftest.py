"""Findings of every kind, of a small random model."""

import pytest

from core.following import Follow
from core.report import findings
from core.report.findings import Finding
from core.study import PlainRuns
from core.views import exports, many_files, path_files, run_files
from tests import answers
from tests.builders import answer, experiment, finished, steps_of


@pytest.fixture(scope="session")
def kinds(loaded) -> dict[str, Finding]:
    asked = experiment()
    study = finished(asked, loaded)
    result = study.read(asked)
    chosen = exports.Chosen(1, 2, study.patched_next_tokens((1, 2)))
    follow = Follow(asked, loaded, ["2.1.q"])
    for _ in follow:
        pass
    many = answers.many(loaded, map(answers.pair, range(9)))
    both = {way: answer(loaded, direction=way) for way in ("denoise", "noise")}
    made = {
        "map": exports.to_json(result, result, chosen),
        "heads": exports.to_json(answer(loaded, site="head_z_position", metric="recovery")),
        "paths": path_files.paths_json(follow.read(asked)["2.1.q"]),
        "many": many_files.many_json(many),
        "compare": exports.maps_json("compare", both),
        "lens": lens_json(loaded),
    }
    return {kind: findings.finding(content) for kind, content in made.items()}


def lens_json(model) -> str:
    asked = experiment()
    plain = PlainRuns(asked, model)
    result = answer(model)
    pair = result.target, result.foil
    ids = tuple(token.id for token in pair)
    _, lenses = steps_of(plain.logit_lenses(ids))
    tops = {
        side: [[plain.token(id) for id in row] for row in lens.top_ids.tolist()]
        for side, lens in lenses.items()
    }
    rows = ("embedding", *map(str, range(model.card.layers)))
    parts = {side: plain.attribution(side, *ids) for side in lenses}
    return run_files.lens_json(asked, model.card, lenses, rows, plain.tokens, tops, pair, parts)
