"""A study: from texts to numbers, swept once, asked as many questions as you like."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core import study as module
from core.engine import plan
from core.engine.sweep import Sweep
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import OF_ONE, SIDES, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.steps import finish
from core.study import TOP, PlainRuns, Study
from mingpt.bpe import END_OF_TEXT, Encoder
from mingpt.tokenizer_files import AddedToken, Extras
from tests.builders import answer, experiment, finished, loaded_model, steps_of
from tests.hooked_gpt2 import Hooked, close, hook_loop, hugging_face

LAYERS, POSITIONS = 3, 7  # of the shared model and text pair
ROUNDING = 1e-4
OPTIONS = [
    *({"site": site} for site in SITES if site != "resid_post"),
    *({"window": window, "embedding": row} for window in (0, 1, 9) for row in (False, True)),
    *({"site": site, "window": 1} for site in ("attn_out", "mlp_out")),
]


def ids_of(asked: Experiment, loaded: LoadedModel) -> dict[str, tuple[int, ...]]:
    encoder = loaded.encoder
    bos = [encoder.encoder[END_OF_TEXT]] * asked.bos
    return {side: (*bos, *encoder.encode(getattr(asked, side))) for side in module.SIDES}


@pytest.fixture(scope="module")
def twin(loaded):
    return hugging_face(loaded.gpt)


@pytest.fixture(scope="module")
def kept(loaded):
    """Studies and plain runs as a session keeps them, each under the key that is to decide it."""
    studies, runs = {}, {}

    def study(asked: Experiment) -> Study:
        plain = runs.setdefault(asked.texts, PlainRuns(asked, loaded))
        if asked.sweep not in studies:
            studies[asked.sweep] = Study(asked, loaded, plain)
            list(studies[asked.sweep])
        return studies[asked.sweep]

    return study


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("direction", OF_ONE)
def test_every_experiment_is_hooked_runs_of_gpt2(loaded, twin, kept, direction, options, bos):
    asked = experiment(direction=direction, bos=bos, **options)
    study, ids = kept(asked), ids_of(asked, loaded)
    result = study.read(asked)
    target, foil = (loaded.encoder.encoder[token] for token in ("ĠLee", "ĠPoe"))

    ends = {"denoise": ("corrupted", "clean"), "noise": ("clean", "corrupted")}
    base, source = ends.get(direction, ("clean", direction))
    expected = hook_loop(twin, ids[base], ids.get(source, source), **options)
    expected = (expected[..., foil] - expected[..., target]).numpy()
    np.testing.assert_allclose(result.values, expected, atol=ROUNDING)
    assert np.ptp(expected) > 100 * ROUNDING  # there was something to get wrong
    for side in module.SIDES:
        logits = Hooked(twin).run(ids[side])
        close(result.plain("logit_diff", side), logits[foil] - logits[target])

    embedding = options.get("embedding", False)
    assert result.rows == (*(["embedding"] if embedding else []), "0", "1", "2")
    assert (result.clean[0].text == END_OF_TEXT) == bos
    assert result.unpatched == base
    if options == {"window": 0, "embedding": embedding}:
        for cell in product(range(LAYERS + embedding), (1, POSITIONS - 1)):
            traced = finish(study.trace(cell, asked))
            assert traced.patched == pytest.approx(expected[cell], abs=ROUNDING)


def test_every_question_is_answered_without_running_anything_again(loaded, monkeypatch):
    study = finished(experiment(target="", foil=""), loaded)
    with pytest.raises(UserError, match="The target is empty"):
        study.read(experiment(target=""))
    for engine in ("recording", "Sweep"):
        monkeypatch.setattr(module, engine, None)
    result = study.read(experiment(metric="kl", target=" Bob", foil=" Ray"))
    assert result.grids.keys() == METRICS.keys()
    assert result.values is result.grids["kl"]
    assert (result.target.text, result.foil.text) == (" Bob", " Ray")
    result = study.read(experiment(metric="kl"), metrics=("recovery",))
    assert result.grids.keys() == {"kl", "recovery"} and result.baselines.keys() == METRICS.keys()


def test_studies_of_one_pair_share_its_plain_runs(loaded, monkeypatch):
    plain = PlainRuns(experiment(), loaded)
    list(Study(experiment(), loaded, plain))
    monkeypatch.setattr(module, "recording", None)
    for direction, site in product(OF_ONE, ("resid_post", "head_z")):
        study = Study(experiment(direction=direction, site=site), loaded, plain)
        fractions = list(study)
        assert (fractions[0], fractions[-1]) == (0, 1)
        assert study.states.isfinite().all()


def test_before_the_sweep_the_plain_runs_are_known_and_cost_their_own_time(loaded):
    study = Study(experiment(), loaded)
    early = study.read(experiment())
    known = np.isfinite(early.values)
    assert known[:, 0].all() and not known[:, 1:].any()  # the first is where both are the same yet
    assert early.seconds.keys() == {"load", "plain_runs", "sweep"}
    assert early.seconds["plain_runs"] > early.seconds["sweep"] == 0
    list(study)
    late = study.read(experiment())
    assert late.baselines == early.baselines and late.top == early.top
    assert late.seconds["sweep"] > 0
    assert late.seconds["plain_runs"] == early.seconds["plain_runs"]


def test_a_sweep_can_be_read_half_way(loaded, monkeypatch):
    monkeypatch.setattr(plan, "WORKING_MEMORY", 1)
    study = Study(experiment(), loaded)
    unknown, fractions, reading, started = [], [], 0.0, time.perf_counter()
    for fraction in study:
        paused = time.perf_counter()
        fractions.append(fraction)
        if study.plain.recorded:
            unknown.append(np.isnan(study.read(experiment(), metrics=()).values).sum())
        reading += time.perf_counter() - paused
    assert study.seconds < time.perf_counter() - started - reading  # it took no part in that
    assert (fractions[0], fractions[-1]) == (0, 1) and fractions == sorted(fractions)
    assert unknown[0] == LAYERS * (POSITIONS - 1)
    assert len(set(unknown)) > 10 and unknown == sorted(unknown, reverse=True)
    assert unknown[-1] == 0


def test_who_reads_while_another_sweeps_sees_the_same_sweep(loaded, monkeypatch):
    monkeypatch.setattr(module, "Sweep", lambda *of: time.sleep(0.02) or Sweep(*of))
    study = Study(experiment(), loaded)
    with ThreadPoolExecutor(max_workers=4) as threads:
        found = list(threads.map(lambda _: (study.read(experiment()), study.sweep), range(4)))
    assert len({sweep for _, sweep in found}) == 1


@pytest.mark.parametrize("direction", ["noise", "position_mean"])
@pytest.mark.parametrize("options", [{"site": "head_z"}, {"window": 1, "embedding": True}], ids=str)
def test_what_is_still_to_be_done_is_said_before(loaded, direction, options):
    study = Study(experiment(direction=direction, **options), loaded)
    plain, swept = study.plain, study.plan
    before, _, memory = study.estimate
    assert before == plain.work + swept.work > swept.work > 0
    assert memory == plain.nbytes + sum(swept.memory)
    with FlopCounterMode(display=False) as counter:
        list(plain)
    assert 0.7 * counter.get_total_flops() < plain.work < counter.get_total_flops()
    list(study)
    assert study.estimate == (swept.work, plain.seconds_for(swept.work), sum(swept.memory))
    assert study.sweep.plan == swept
    assert study.nbytes == study.states.nbytes
    assert plain.nbytes == sum(plain.run(side).nbytes for side in module.SIDES)


def at_a_level(dtype: torch.dtype) -> LoadedModel:
    """A model whose logits are near -70, as GPT-2's are: a channel of every state is 7 and of
    every token's vector -10, which the positions take out of the stream again."""
    loaded = loaded_model()
    parts = loaded.gpt.transformer
    parts.wte.weight[:, 0], parts.wpe.weight[:, 0] = -10, 10
    parts.ln_f.weight[0], parts.ln_f.bias[0] = 0, 7
    return replace(loaded, gpt=loaded.gpt.to(dtype))


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16, torch.half])
def test_tables_are_in_the_order_of_exact_products(dtype, direction):
    loaded = at_a_level(dtype)
    study = finished(experiment(direction=direction), loaded)
    result, weight = study.read(study.experiment), loaded.gpt.lm_head.weight.double()

    def exactly(state: torch.Tensor) -> torch.Tensor:
        assert -80 < (weight @ state.double()).mean() < -60
        return weight @ state.double()

    def check(table, logits: torch.Tensor) -> None:
        best = logits.argsort(descending=True, stable=True)[:20]
        assert [row.rank for row in table] == list(range(1, 21))
        assert [row.token.id for row in table] == best.tolist()
        np.testing.assert_allclose([row.logit for row in table], logits[best], atol=ROUNDING)
        np.testing.assert_allclose([row.prob for row in table], logits.softmax(-1)[best], atol=1e-5)

    plain = {side: exactly(study.plain.state(side).states) for side in module.SIDES}
    for side in module.SIDES:
        check(result.top[side], plain[side])
    moved = study.patched_next_tokens((1, 1))
    check([row.now for row in moved], exactly(study.states[1, 1]))
    for row in moved:
        id = row.now.token.id
        ranks = {side: 1 + (of > of[id]).sum().item() for side, of in plain.items()}
        assert (row.clean_rank, row.corrupted_rank) == (ranks["clean"], ranks["corrupted"])
        assert row.risen == ranks[result.unpatched] - row.now.rank


def test_contenders_that_are_not_in_a_table_are_told_after_it_as_one_of_all_would_tell(loaded):
    study = finished(experiment(), loaded)
    whole = {side: study.plain.top(study.plain.state(side).states, 10**6) for side in SIDES}
    for id in (0, 100, 200):
        rows = study.contenders(id, 7)
        for side, order in whole.items():
            assert rows[side] == tuple(r for i in (id, 7) for r in order if r.token.id == i)
    last = [row.token.id for row in study.plain.top(study.states[1, 1], 10**6)][-2:]
    shorter, longer = (study.patched_next_tokens((1, 1), also) for also in ((), (*last[::-1], 7)))
    assert longer[:TOP] == shorter and 7 in [move.now.token.id for move in longer]
    assert [move.now.token.id for move in longer[-2:]] == last  # in their order, not as asked
    for move in longer[TOP:]:
        assert move.risen == move.corrupted_rank - move.now.rank


def test_a_vocabulary_row_without_a_token_has_a_name():
    model = loaded_model(padding=4)
    unused, plain = len(model.encoder.encoder), PlainRuns(experiment(), model)
    state = plain.state("clean").states
    model.gpt.lm_head.weight[unused] = 100 * state  # now the likeliest
    assert plain.top(state, count=1)[0].token.text == f"<unused {unused}>"
    added = Extras(added=(AddedToken("<ñ>", unused, normalized=False),))
    encoder = Encoder(model.encoder.encoder, [*model.encoder.bpe_ranks], added)
    plain.model = replace(model, encoder=encoder)
    assert plain.top(state, count=1)[0].token.text == "<ñ>"


@pytest.mark.parametrize("side", ["clean", "corrupted"])
def test_plain_runs_are_read_from_inside_for_the_text_that_was_named(loaded, twin, side):
    plain, ids = PlainRuns(experiment(), loaded), ids_of(experiment(), loaded)[side]
    twin.set_attn_implementation("eager")  # torch's own does not tell its patterns
    output = twin(torch.tensor([ids]), output_attentions=True)
    for layer, head in product(range(LAYERS), range(2)):
        close(plain.attention(side, layer, head), output.attentions[layer][0, head])
    logits = output.logits[0, -1]
    assert plain.logits_bytes == output.logits[0].nbytes
    fractions, lenses = steps_of(plain.logit_lenses((5, 9)))
    assert fractions == pytest.approx([i / len(fractions) for i in range(len(fractions))])
    close(lenses[side].logits[-1], logits[[5, 9]])
    close(plain.attribution(side, 5, 9).total, logits[9] - logits[5])


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_preview_begins_at_the_run_that_is_patched(loaded, direction):
    asked = experiment(direction=direction, site="head_z")
    exact = answer(loaded, direction=direction, site="head_z")
    estimate = Study(asked, loaded).head_preview(asked)
    assert estimate.shape == exact.values.shape
    moved = [values.ravel() - exact.plain("logit_diff") for values in (estimate, exact.values)]
    assert np.corrcoef(*moved)[0, 1] > 0.7


def test_a_metric_that_cannot_be_measured_is_left_out_unless_it_was_asked_for():
    model = loaded_model(seed=1)
    rows = model.gpt.lm_head.weight
    # All but the same unembedding: LD is about 0 everywhere.
    rows[model.encoder.encoder["ĠPoe"]] = rows[model.encoder.encoder["ĠLee"]] + 1e-5
    asked = experiment(clean="Anna Bob met", corrupted="Anna Ray met")
    study = finished(asked, model)
    result = study.read(asked)
    for found in (result.grids, result.baselines):
        assert METRICS.keys() - found.keys() == {"recovery"}
    with pytest.raises(UserError, match="Recovery divides by the difference"):
        study.read(replace(asked, metric="recovery"))


def test_texts_that_cannot_be_patched_are_refused_before_anything_runs(loaded, monkeypatch):
    monkeypatch.setattr(module, "recording", None)
    with pytest.raises(UserError, match="same number of tokens"):
        Study(experiment(corrupted="Anna"), loaded)


def test_a_row_of_the_unembedding_that_is_no_number_is_found_whatever_the_texts():
    model = loaded_model()
    model.gpt.lm_head.weight[7] = torch.nan
    assert 7 not in {id for text in ids_of(experiment(), model).values() for id in text}
    plain = PlainRuns(experiment(), model)
    with pytest.raises(UserError) as refusal:
        list(Study(experiment(), model, plain))
    words = "The model's numbers are not finite after the unembedding; the weights are damaged, or"
    assert str(refusal.value).startswith(words)
    assert not plain.recorded
