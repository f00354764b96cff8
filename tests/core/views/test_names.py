"""File names say which experiment a file is of, on every file system."""

import re
from dataclasses import replace

import pytest

from core.question.experiment import Experiment
from core.views.names import stem, stem_of
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
