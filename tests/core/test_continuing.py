"""What runs would write, against whole texts run again for every token with hooks on another
model."""

import csv
import io
import json
from functools import cache

import numpy as np
import pytest
import torch

from core.__main__ import main
from core.continuing import Continue
from core.errors import UserError
from core.question.experiment import SIDES
from core.question.places import Place
from core.question.sampling import Sampling
from core.question.sites import SITES
from core.reading.continuing import continuing
from core.result import Continuation
from core.steps import finish
from core.study import PlainRuns, sides
from core.views import continued
from mingpt.model import PatchParams
from tests import builders
from tests.hooked_gpt2 import Edit, Hooked, ablated, hugging_face

TOKENS = 6
GREEDY = Sampling(TOKENS)


@cache
def model():
    return builders.loaded_model(4, 2, 8)


@cache
def hooked() -> Hooked:
    return Hooked(hugging_face(model().gpt))


def ids(side: str) -> tuple[int, ...]:
    return tuple(model().encoder.encode(getattr(builders.experiment(), side)))


def made(patch, how=GREEDY, **changes) -> Continuation:
    question = Continue(builders.experiment(**changes), model())
    return finish(question.continued(patch, how))


def put_in(direction: str, site: str, layer: int, head=None, position=None) -> Edit:
    """The source's activation at positions of the prompt, in a text that has become longer."""
    base, source = sides(direction)
    new = hooked().kept(ids(source if source in SIDES else base), site)[layer]
    new = new if source in SIDES else ablated(new, source, site)
    T = len(new)

    def change(x):
        x = x.clone()
        at = slice(T) if position is None else position
        own = slice(None) if position is None else position
        if site == "head_pattern":
            x[at, head, :T] = new[own, head]
        elif head is not None:
            x[at, head] = new[own, head]
        else:
            x[at] = new[own]
        return x

    return site, layer, change


def run_again(text: tuple[int, ...], edits: list[Edit]) -> list[tuple[int, float]]:
    """The likeliest token again and again, each by a run of the whole text with the edits."""
    found = []
    for _ in range(TOKENS):
        logits = hooked().run((*text, *(id for id, _ in found)), edits)
        found.append((logits.argmax().item(), logits.softmax(-1).max().item()))
    return found


def same(written, expected) -> None:
    assert [w.token.id for w in written] == [id for id, _ in expected]
    np.testing.assert_allclose([w.prob for w in written], [p for _, p in expected], atol=1e-4)


@pytest.mark.parametrize("direction", ["denoise", "noise", "zero", "position_mean"])
@pytest.mark.parametrize("site", SITES)
def test_a_patch_stays_in_place_while_the_run_writes_on(site, direction):
    at = {"layer": 1, "head": 1, "position": 4 if direction in ("zero", "position_mean") else 5}
    place = Place(**{axis: at[axis] for axis in SITES[site].axes})
    found = made(place, site=site, direction=direction)
    base, _ = sides(direction)
    edit = put_in(direction, site, 1, place.head, place.position)
    same(found.runs["patched"], run_again(ids(base), [edit]))
    for side in SIDES:
        same(found.runs[side], run_again(ids(side), []))
    unpatched = [w.prob for w in found.runs[base]]
    assert np.abs(np.subtract([w.prob for w in found.runs["patched"]], unpatched)).max() > 1e-4


def test_an_embedding_and_a_window_are_patched_as_on_the_map():
    place = Place(-1, None, 1)
    found = made(place, embedding=True)
    same(
        found.runs["patched"],
        run_again(ids("corrupted"), [put_in("denoise", "resid_pre", 0, None, 1)]),
    )
    found = made(Place(2, None, 5), site="mlp_out", window=1)
    edits = [put_in("denoise", "mlp_out", layer, None, 5) for layer in (1, 2, 3)]
    same(found.runs["patched"], run_again(ids("corrupted"), edits))


def test_a_set_is_patched_all_at_once():
    found = made(Continue(builders.experiment(), model()).parse("1.0 2.1@4 mlp0 resid2@3"))
    edits = [
        ("head_z", 1, 0, None),
        ("head_z", 2, 1, 4),
        ("mlp_out", 0),
        ("resid_post", 2, None, 3),
    ]
    edits = [put_in("denoise", *edit) for edit in edits]
    same(found.runs["patched"], run_again(ids("corrupted"), edits))
    assert found.patch == ("1.0", "2.1@4", "mlp0", "resid2@3")
    nothing = made(()).runs
    same(nothing["patched"], [(w.token.id, w.prob) for w in nothing["corrupted"]])


@pytest.mark.parametrize("how", [GREEDY, Sampling(TOKENS, 1.5, 9, seed=4)])
def test_it_is_what_generate_gives_with_the_patch(how):
    gpt, asked = model().gpt, builders.experiment()
    clean = PlainRuns(asked, model()).run("clean")
    patch = PatchParams(1, 5, clean.resid[2, 5])
    draw = torch.Generator().manual_seed(how.seed)
    options = (how.temperature, not how.is_greedy, how.top_k or None)
    text = torch.tensor([ids("corrupted")])
    theirs = gpt.generate(text, TOKENS, *options, patch_params=patch, generator=draw)
    found = made(Place(1, None, 5), how)
    assert [w.token.id for w in found.runs["patched"]] == theirs[0, text.shape[1] :].tolist()


def test_greedy_is_hugging_faces_own_generate():
    found = made(Place(1, None, 5))
    for side in SIDES:
        text = torch.tensor([ids(side)])
        theirs = hooked().model.generate(
            text, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        assert [w.token.id for w in found.runs[side]] == theirs[0, text.shape[1] :].tolist()


def test_tokens_are_drawn_from_the_softmax_of_the_top_k_at_a_temperature_by_a_seed():
    gpt, run = model().gpt, PlainRuns(builders.experiment(), model()).run("clean")
    logits = gpt.lm_head(run.state)
    best = logits.topk(3)
    drawn = [
        finish(continuing(gpt, [run], Sampling(1, 2.0, 3, seed)))[0][0] for seed in range(1500)
    ]
    counts = np.array([sum(id == of for id, _ in drawn) for of in best.indices.tolist()])
    assert counts.sum() == 1500
    np.testing.assert_allclose(counts / 1500, (best.values / 2).softmax(-1), atol=0.04)
    # The probability that is said is the model's own, whatever it is drawn by.
    said = dict(drawn)[best.indices[0].item()]
    assert said == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def test_a_seed_decides_what_is_written_and_equal_runs_write_the_same():
    how = Sampling(TOKENS, 3.0, seed=7)
    one, again, other = (
        {run: [w.token.id for w in written] for run, written in made((), of).runs.items()}
        for of in (how, how, Sampling(TOKENS, 3.0, seed=8))
    )
    assert one == again
    assert one["patched"] == one["corrupted"] != other["corrupted"]


@pytest.mark.parametrize(
    ("numbers", "says", "field"),
    [
        ({"tokens": 0}, "A text is continued by 1 to 40 tokens, not by 0.", "tokens"),
        ({"tokens": 41}, "1 to 40 tokens, not by 41.", "tokens"),
        ({"temperature": -0.1}, "A temperature is from 0", "temperature"),
        ({"temperature": float("nan")}, "to 10, not nan.", "temperature"),
        ({"top_k": -1}, "top-k is how many tokens, 0 for all, and a whole number", "top_k"),
        ({"seed": 10**9}, "A seed is a whole number from 0 to 999,999,999", "seed"),
    ],
)
def test_numbers_that_say_nothing_are_refused(numbers, says, field):
    with pytest.raises(UserError) as error:
        Sampling(**numbers)
    assert says in str(error.value) and error.value.field == field


def test_what_the_model_could_not_read_to_its_end_is_refused():
    assert len(made((), Sampling(17)).runs["patched"]) == 17
    with pytest.raises(UserError) as error:
        made((), Sampling(18))
    assert str(error.value) == (
        "The texts have 7 tokens, and 18 more are more than the 24 this model can read: ask for 17"
        " or fewer."
    )
    with pytest.raises(UserError, match="no row for the embedding unless"):
        Continue(builders.experiment(), model()).place("embedding,2")


def test_it_is_said_what_was_replaced_by_what_in_which_run():
    asked = {"site": "head_z", "direction": "noise"}
    found = made(Place(1, 0), Sampling(2, 0.7, 5, 3), **asked)
    says = "the clean run with the output z of head 0 in layer 1 at every position replaced by the"
    assert continued.patched_run(found) == f"{says} corrupted run’s (noise)"
    of_set = made((), Sampling(2), direction="position_mean")
    assert continued.patched_run(of_set) == (
        "the clean run with nothing replaced by the position mean (position_mean)"
    )
    data = json.loads(continued.to_json(found))
    assert (data["at"], data["components"]) == ("1,0", None)
    assert data["in_words"]["tokens"] == "drawn from the 5 likeliest at temperature 0.7, seed 3"
    assert data["sampling"] == {"tokens": 2, "temperature": 0.7, "top_k": 5, "seed": 3}
    new = data["continued"]["patched"]
    assert new["text"] == "".join(token["text"] for token in new["tokens"])
    assert [t["id"] for t in new["tokens"]] == [w.token.id for w in found.runs["patched"]]
    rows = list(csv.DictReader(io.StringIO(continued.to_csv(found)[1:])))
    assert [(row["run"], row["position"]) for row in rows[1:3]] == [
        ("clean", "8"),
        ("patched", "7"),
    ]
    assert json.loads(rows[3]["token"]) == found.runs["patched"][1].token.text
    assert float(rows[3]["prob"]) == found.runs["patched"][1].prob
    assert {row["patched"] for row in rows} == {continued.patched_run(found)}
    said = continued.report(found)
    assert "patched run, after Anna Lee met Bob Ray. Anna\n" in said
    assert "2 tokens, drawn from the 5 likeliest" in said


def asked(model_folder, *more: str) -> list[str]:
    texts = {"clean": builders.CLEAN, "corrupted": builders.CORRUPTED}
    texts |= {"target": " Lee", "foil": " Poe", "model": str(model_folder)}
    return ["continue", *(f"--{name}={value}" for name, value in texts.items()), *more]


def test_the_command_continues_a_cell_or_a_set(model_folder, capsys):
    more = ["--tokens=3", "--temperature=1.5", "--top-k=4", "--seed=5", "--json=-"]
    patched = []
    for patch in (["--at=1,-1", "--site=mlp_out"], ["--components=mlp1@6"]):
        assert main(asked(model_folder, *patch, *more)) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["sampling"] == {"tokens": 3, "temperature": 1.5, "top_k": 4, "seed": 5}
        patched.append(data["continued"]["patched"])
    assert patched[0] == patched[1] != data["continued"]["corrupted"]
    for wrong, says in (
        (["--at=9,1"], "There is no layer 9"),
        (["--at=1,1", "--tokens=18"], "ask for 17 or fewer."),
        (["--at=1,1", "--temperature=hot"], "'hot' is no number"),
        ([], "one of the arguments --at --components is required"),
    ):
        assert main(asked(model_folder, *wrong)) == 2
        assert says in capsys.readouterr().err
