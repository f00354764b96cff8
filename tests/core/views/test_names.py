"""File names say which experiment a file is of, on every file system."""

import re
from dataclasses import replace

import pytest

from core.many.values import FromOthers
from core.question.experiment import Experiment
from core.views.names import stem, stem_of, stem_of_many
from tests import answers
from tests.builders import HOSTILE, answer, experiment

GPT2 = Experiment("Michelle Jones", "Michelle Smith", " Jones", " Smith", model="gpt2")


def test_a_name_says_the_model_the_tokens_and_the_question(result):
    name = stem(replace(result, experiment=GPT2))
    assert re.fullmatch(
        "patchboard-gpt2-Jones-Smith-resid_post-denoise-logit_diff-[0-9a-f]{6}", name
    )
    assert name == stem(replace(result, experiment=GPT2))
    with_more = stem(replace(result, experiment=GPT2), "assignment")
    assert with_more.startswith(
        "patchboard-gpt2-Jones-Smith-resid_post-denoise-logit_diff-assignment-"
    )
    assert stem_of(GPT2, "lens").startswith("patchboard-gpt2-Jones-Smith-lens-")


def test_every_experiment_has_a_name_of_its_own(loaded, result):
    changes = [
        *({}, {"window": 1}, {"bos": True}, {"embedding": True}, {"metric": "kl"}),
        *({"target": "Lee"}, {"target": " lee"}, {"target": " LEE"}, {"foil": " Ray"}),
        *({"direction": "noise"}, {"site": "mlp_out"}, {"model": "gpt2"}, {"clean": "Anna"}),
        *({"target": text} for text in HOSTILE),
    ]
    names = [stem(replace(result, experiment=experiment(**change))) for change in changes]
    cube = answer(loaded, site="head_z_position")
    names += [stem(cube.at(position)) for position in range(7)]
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    "text", [*HOSTILE, "/", "..", "CON", "a:b", "\ud800", "é", "\n", "x" * 5000]
)
def test_a_name_is_safe_whatever_the_tokens_and_the_model_are(result, text):
    odd = replace(GPT2, target=text, foil=text, model=f"/some/where/m{text}", clean=text)
    for name in (stem(replace(result, experiment=odd), "assignment"), stem_of(odd, text)):
        assert re.fullmatch("patchboard-[A-Za-z0-9_-]+-[0-9a-f]{6}", name)
        assert len(name) <= 200
        assert "where" not in name


def test_a_name_over_many_pairs_says_the_model_the_file_the_question_and_how_many():
    answer = answers.of_shape(3, 4)
    name = stem_of_many(answer, "gpt2-ioi")
    assert re.fullmatch(
        "patchboard-gpt2-gpt2_ioi-resid_post-denoise-recovery-n20-[0-9a-f]{6}", name
    )
    assert name == stem_of_many(answers.of_shape(3, 4), "gpt2-ioi")
    in_a_folder = stem_of_many(answer, "C:\\some/where/my.pairs.csv")
    assert in_a_folder.startswith("patchboard-gpt2-my_pairs-resid_post-")
    first, second = answer.halves()
    pairs = (answer.pairs[0]._replace(pair=answer.pairs[1].pair), *answer.pairs[1:])
    others = [
        *(first, second, replace(answer, pairs=pairs)),
        *(replace(answer, **of) for of in ({"keep": "flips"}, {"of_ratios": True}, {"seed": 1})),
        replace(answer, at_column=(1, "S1"), part="group A"),
        *(replace(answer, source=FromOthers(20, "ab", True, seed)) for seed in (None, 0, 1)),
        replace(answer, at_column=(2, "S2"), part="group A"),
    ]
    names = {stem_of_many(of, "gpt2-ioi") for of in others} | {name, stem_of_many(answer, "b.csv")}
    assert len({name.lower() for name in names}) == len(others) + 2


@pytest.mark.parametrize("text", [*HOSTILE, "/", "..", "", "-", "a:b", "\ud800", "é", "x" * 5000])
def test_a_name_over_many_pairs_is_safe_whatever_file_and_roles_are_called(text):
    odd = replace(answers.of_shape(2, 2), part=text, at_column=(0, text))
    name = stem_of_many(odd, f"/some/where/{text}")
    assert re.fullmatch("patchboard-[A-Za-z0-9_-]+-[0-9a-f]{6}", name)
    assert len(name) <= 200 and "where" not in name
