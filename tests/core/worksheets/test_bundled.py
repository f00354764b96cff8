"""The worksheets that come with Patchboard can be done, and each claim is wrong in its own way."""

import pytest

from core import catalogue, models, presets
from core.guess import shares
from core.question.tokens import in_pieces
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import found
from core.worksheets.worksheet import WITH_EXPERIMENT, WRONG, Worksheet

CLAIMS = {task.wrong: task for task in BUNDLED["ten-ways"].tasks}
FOUND = [task for sheet in BUNDLED.values() for task in sheet.tasks if task.kind == "find"]


@pytest.fixture(scope="module")
def of_claim():
    return {wrong: answer_to(task.experiment) for wrong, task in CLAIMS.items()}


@pytest.mark.parametrize("sheet", BUNDLED.values(), ids=BUNDLED)
def test_each_is_read_back_and_short_enough_for_a_link(sheet):
    assert Worksheet.from_link(sheet.to_link()) == sheet
    assert len(sheet.to_link()) < 2000
    assert any(task.kind in WITH_EXPERIMENT for task in sheet.tasks)


@pytest.mark.parametrize("task", FOUND, ids=[task.title for task in FOUND])
def test_what_is_to_be_found_is_there_and_not_everywhere(task):
    result = answer_to(task.experiment)
    cells = found(task, result)
    assert 0 < len(cells) <= result.values.size / 6
    if task.find != "away":
        assert all(shares(result)[cell] > 0.3 for cell in cells)


def test_there_is_a_claim_for_every_mistake():
    assert CLAIMS.keys() == WRONG.keys()


def ahead(result):
    return [result.plain("logit_diff", side) for side in ("clean", "corrupted")]


def ranks(result):
    tops = result.top["clean"][:20], result.top["corrupted"][:20]
    return [
        next((row.rank for row in top if row.token == token), 99)
        for top, token in zip(tops, (result.target, result.foil), strict=True)
    ]


def different(result):
    return [
        p for p, (a, b) in enumerate(zip(result.clean, result.corrupted, strict=True)) if a != b
    ]


def test_each_claim_is_wrong_as_the_key_says_and_the_sound_pair_is_sound(of_claim):
    encoder = models.load_tokenizer(catalogue.TEACHING)
    sound = of_claim["one pair"]
    assert ahead(sound)[0] < -5 < 5 < ahead(sound)[1] and ranks(sound) == [1, 1]
    bare = of_claim["no space"]
    asked = bare.experiment
    spaced = [row.token.text for row in (bare.top["clean"][0], bare.top["corrupted"][0])]
    assert [f" {asked.target}", f" {asked.foil}"] == spaced
    assert min(ranks(of_claim["never comes"])) > 5
    clean, corrupted = ahead(of_claim["no flip"])
    assert clean < -5 and corrupted < -5 and abs(clean - corrupted) > 2
    clean, corrupted = ahead(of_claim["turned round"])
    assert clean > 5 and corrupted < -5
    assert len(different(of_claim["two changes"])) == 2
    last = of_claim["at the end"]
    assert different(last) == [len(last.clean) - 1]
    clean, corrupted = ahead(of_claim["hardly differs"])
    assert abs(clean - corrupted) < 0.5
    unknown = of_claim["unknown words"].experiment
    assert in_pieces(unknown.clean, encoder) and in_pieces(unknown.corrupted, encoder)
    shifted = of_claim["shifted"]
    assert len(different(shifted)) > 5
    assert ranks(shifted) == [1, 1]
    others = {"unknown words", "shifted", "two changes", "at the end", "one pair"}
    known = [of_claim[wrong].experiment for wrong in CLAIMS if wrong not in others]
    assert not any(in_pieces(text, encoder) for of in known for text in (of.clean, of.corrupted))


def test_the_examples_are_those_of_the_sidebar():
    assert presets.of(BUNDLED["assignment"].tasks[0].experiment).title == "Which surname?"
