"""Many pairs from the file to the answer: the numbers are those of each pair by itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import catalogue, models
from core.__main__ import main
from core.errors import UserError
from core.many import packs, survey, sweeping
from core.many.fitting import fit, shared_columns
from core.many.pairs import Pair, write
from core.many.store import VALUES, Store
from core.many.survey import Sample, Share, Survey
from core.question.experiment import Experiment
from tests import builders
from tests.builders import finished

METRICS = ("logit_diff", "target_prob", "kl")


@pytest.fixture(scope="module")
def model():
    return models.load(catalogue.TEACHING, device="cpu")


@pytest.fixture(scope="module")
def pairs(model):
    """A few, of several lengths, with roles."""
    made = packs.PACKS["teaching-surname"].make()[:9]
    fitted, dropped = fit(made, model.encoder, model.gpt.block_size)
    assert not dropped
    return shared_columns(fitted)[1]


def sample_of(pairs, model) -> Sample:
    sample = Sample([pair.pair for pair in pairs], [], model)
    sample.pairs = list(pairs)  # those of the test, whatever their file would have made of them
    return sample


def swept(pairs, model, question, metrics=METRICS, store=None) -> dict:
    """By id all that is known of each pair."""
    survey = Survey(sample_of(pairs, model), question, metrics=metrics, store=store)
    for _ in survey:
        pass
    return {of.pair.pair.id: of for of in survey.swept}


def asked(**changes) -> Experiment:
    return replace(Experiment("", "", "", "", model="teaching"), **changes)


def alone(pair, model, question) -> dict[str, np.ndarray]:
    """What a study of this pair by itself says."""
    (target,), (foil,) = pair.pair.target, pair.pair.foil
    one = replace(
        question, clean=pair.pair.clean, corrupted=pair.pair.corrupted, target=target, foil=foil
    )
    return finished(one, model).read(one, metrics=METRICS)


@pytest.mark.parametrize("direction", ["denoise", "noise", "position_mean"])
@pytest.mark.parametrize("site", ["resid_post", "head_z"])
def test_a_pair_beside_others_is_what_it_is_alone(model, pairs, site, direction):
    question = asked(site=site, direction=direction, embedding=site == "resid_post")
    found = {id: of.values for id, of in swept(pairs, model, question).items()}
    assert len({len(pair.clean) for pair in pairs}) > 1 and len(found) == len(pairs)
    for pair in pairs[:4]:
        result, values = alone(pair, model, question), found[pair.pair.id]
        for metric in METRICS:
            grid = result.grids[metric]
            if site == "resid_post":
                grid = np.stack([grid[:, at[0]] for _, at in pair.columns], axis=1)
            np.testing.assert_allclose(values.grids[metric], grid, atol=1e-4)
            baseline = result.baselines[metric]
            ends = baseline.clean, baseline.corrupted
            assert values.baselines[metric] == pytest.approx(ends, abs=1e-4)


def test_however_many_batches_are_computed_at_once_a_pair_says_the_same(model, pairs, monkeypatch):
    one = swept(pairs, model, asked())
    monkeypatch.setattr(survey, "most_on", lambda device: 3)
    monkeypatch.setattr(survey, "_LARGE", 0)
    monkeypatch.setattr(sweeping, "BATCH_WORK", 1.0)  # nine of one pair
    three = swept(pairs, model, asked())
    assert one.keys() == three.keys()
    for id, found in three.items():
        for metric in METRICS:
            np.testing.assert_allclose(
                found.values.grids[metric], one[id].values.grids[metric], atol=1e-5
            )


@pytest.mark.parametrize(
    ("n", "most", "workers", "expected"),
    [
        (32, 14, 1, [10, 11, 11]),
        (32, 14, 2, [8, 8, 8, 8]),
        (32, 32, 2, [16, 16]),
        (9, 9, 2, [4, 5]),
        (7, 9, 2, [7]),  # a few together are quicker
        (40, 5, 16, [4] * 10),
        (40, 2, 16, [2] * 20),
    ],
)
def test_pairs_are_swept_in_even_parts_as_many_for_each_worker(
    model, pairs, monkeypatch, n, most, workers, expected
):
    (pair, *_), question = pairs, asked()
    monkeypatch.setattr(sweeping, "BATCH_WORK", most * sweeping.work_of([pair], model, question))
    parts = list(sweeping.batches([pair] * n, model, question, workers))
    assert sorted(map(len, parts)) == expected and sum(map(len, parts)) == n


def test_of_several_targets_any_one_counts(model, pairs):
    """The probability of one of them is the sum of theirs."""
    (pair, *_), question = pairs, asked()
    both = replace(pair, target=(*pair.target, *pair.foil))
    one, other, together = (
        swept([of], model, question)[of.pair.id].values.grids["target_prob"]
        for of in (pair, replace(pair, target=pair.foil, foil=pair.target), both)
    )
    np.testing.assert_allclose(together, one + other, atol=1e-5)


def test_a_column_of_several_tokens_is_the_mean_of_their_cells(model, pairs):
    (pair, *_), question = pairs, asked()
    T = len(pair.clean)
    cells, mean = (
        swept([replace(pair, columns=of)], model, question)[pair.pair.id].values
        for of in (tuple((str(p), (p,)) for p in range(T)), (("some", (T - 2, T - 1)),))
    )
    expected = cells.grids["logit_diff"][:, -2:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(mean.grids["logit_diff"], expected, atol=1e-5)


def test_screening_says_what_both_plain_runs_say(model, pairs):
    sample = sample_of(pairs, model)
    for _ in sample:
        pass
    beside = swept(pairs, model, asked())
    for pair, found in zip(pairs, sample.screened, strict=True):
        result = alone(pair, model, asked())
        baseline = result.baselines["logit_diff"]
        ends = found.clean_difference, found.corrupted_difference
        assert ends == pytest.approx((baseline.clean, baseline.corrupted), abs=1e-4)
        tops = {side: rows[0] for side, rows in result.top.items()}
        assert (found.clean_top, found.corrupted_top) == (
            tops["clean"].token,
            tops["corrupted"].token,
        )
        assert found.is_first == (tops["clean"].token == result.target)
        assert found.foil_is_first == (tops["corrupted"].token == result.foil)
        assert found.flips == (baseline.clean < 0 < baseline.corrupted)
        probs = (result.baselines["target_prob"].clean, result.baselines["foil_prob"].corrupted)
        assert (found.target_prob, found.foil_prob) == pytest.approx(probs, abs=1e-5)
        again = beside[pair.pair.id].screened
        assert found[:6] == pytest.approx(again[:6], abs=1e-4) and found[6:] == again[6:]


def test_a_vocabulary_may_be_padded_with_ids_without_a_token():
    model = builders.loaded_model(padding=400)
    pair = Pair("1", 1, builders.CLEAN, builders.CORRUPTED, (" Lee",), (" Poe",))
    sample = Sample([pair], [], model)
    (said,) = sweeping.screen(sample.pairs, model)
    assert said.clean_top.text == f"<unused {said.clean_top.id}>"


def test_the_rank_of_several_is_that_of_the_best():
    logits = torch.tensor([1.0, 3.0, 2.0, 3.0, 0.0])
    ranks = {ids: sweeping._rank(logits, ids) for ids in [(1,), (3,), (2,), (4, 0), (0, 3)]}
    assert ranks == {(1,): 1, (3,): 2, (2,): 3, (4, 0): 4, (0, 3): 2}


def test_pairs_are_chosen_by_what_the_model_says_and_the_others_named(model, pairs):
    sample = sample_of(pairs[:2], model)
    flipping, *_ = sweeping.screen(pairs[:1], model)
    still = flipping._replace(corrupted_difference=-1.0, target_rank=7)
    sample.screened = [flipping, still]
    for keep, reason in (
        ("flips", "does not flip: LD is "),
        ("first", "the target is at rank 7 on the clean run, not the first"),
    ):
        kept, dropped = sample.chosen(keep)
        assert kept == pairs[:1] and reason in dropped[0].row.reason
        assert dropped[0][1:] == (pairs[1], still)
        none = sample_of(pairs[:1], model)
        none.screened = [still]
        with pytest.raises(UserError, match="None of 1 usable pair is one of the pairs whose"):
            none.chosen(keep)
    assert sample.chosen("all") == (pairs[:2], [])


def test_work_that_was_broken_off_goes_on_from_the_pairs_that_are_done(
    model, pairs, tmp_path, monkeypatch
):
    question, whole = asked(), swept(pairs, model, asked())
    begun = Survey(sample_of(pairs, model), question, metrics=METRICS, store=Store(tmp_path))
    for _ in begun:
        if begun.swept:
            break
    done = {of.pair.pair.id for of in begun.swept}
    assert 0 < len(done) < len(pairs)
    file = tmp_path / VALUES
    file.write_text(file.read_text() + '["half a li')
    computed = []
    sweep = sweeping.sweep

    def counting(batch, *rest):
        computed.extend(pair.pair.id for pair in batch)
        return sweep(batch, *rest)

    monkeypatch.setattr(sweeping, "sweep", counting)
    again = swept(pairs, model, question, store=Store(tmp_path))
    assert set(computed) == set(whole) - done and set(again) == set(whole)
    for id, of in again.items():
        np.testing.assert_allclose(of.values.grids["kl"], whole[id].values.grids["kl"], atol=1e-5)
        assert of.screened[:6] == pytest.approx(whole[id].screened[:6], abs=1e-4)
        assert of.screened[6:] == whole[id].screened[6:]
    other = asked(direction="noise")  # what is kept of another question is not taken for it
    del computed[:]
    assert set(swept(pairs, model, other, store=Store(tmp_path))) == set(whole)
    assert set(computed) == set(whole)


def test_shares_of_a_file_are_all_of_it_with_the_same_columns(model):
    made = packs.PACKS["teaching-surname"].make()[:10]
    whole = Sample(made, [], model)
    parts = [Sample(made, [], model, share=Share(i, 3)) for i in (1, 2, 3)]
    assert [part.given for part in parts] == [4, 3, 3]
    assert {part.columns for part in parts} == {whole.columns}
    lines = [pair.pair.line for part in parts for pair in part.pairs]
    assert sorted(lines) == [pair.pair.line for pair in whole.pairs] and len(set(lines)) == 10


def test_the_command_prints_a_map_and_its_json_is_the_sums_over_pairs(
    model, pairs, tmp_path, capsys
):
    file = tmp_path / "pairs.csv"
    wrong = Pair("wrong", 0, "Mary was sad", "John was very sad", (" she",), (" he",))
    file.write_text(write([pair.pair for pair in pairs] + [wrong]), encoding="utf-8")
    assert main(["many", str(file), "--json=-", "--metric=recovery", "--embedding"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["n_given"], said["n_used"]) == (len(pairs) + 1, len(pairs))
    (left_out,) = said["dropped"]
    assert left_out["id"] == "wrong" and "clean 3, corrupted 6" in left_out["reason"]
    assert said["columns"][-1] == "last position" and said["rows"][0] == "embedding"
    above, below = [], []
    for pair in pairs:
        result = alone(pair, model, asked(embedding=True))
        ends = result.baselines["logit_diff"]
        columns = [result.grids["logit_diff"][:, at[0]] for _, at in pair.columns]
        above.append(np.stack(columns, axis=1) - ends.corrupted)
        below.append(ends.clean - ends.corrupted)
    np.testing.assert_allclose(said["mean"], sum(above) / sum(below), atol=1e-3)
    assert said["bootstrap"] == {
        **{"samples": 2000, "seed": 0, "level": 0.95, "draws": "groups"},
        "in_words": "single pairs drawn",  # these have no groups
    }
    assert main(["many", str(file)]) == 0
    printed = capsys.readouterr().out
    assert f"{len(pairs)} used of {len(pairs) + 1} given" in printed
    assert "1 left out:" in printed and "(wrong)" in printed


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["/nowhere/at/all.csv"], "/nowhere/at/all.csv cannot be read: No such file"),
        (["/dev/null"], "/dev/null is empty. A row needs clean"),
        (["/dev/zero"], "/dev/zero has more than the 50 MB that are read: split it."),
        (["/"], "/ cannot be read: Is a directory"),
        (["FILE", "--samples-seed=-1"], "'-1' is no whole number"),
        (
            ["FILE", "--site=head_z", "--window=1"],
            "Only resid_post, attn_out and mlp_out have a window, not head_z",
        ),
        (["FILE", "--keep=some"], "invalid choice: 'some'"),
    ],
)
def test_a_mistake_is_one_line(pairs, tmp_path, capsys, more, says):
    file = tmp_path / "pairs.csv"
    file.write_text(write([pairs[0].pair]), encoding="utf-8")
    assert main(["many", *(str(file) if part == "FILE" else part for part in more)]) == 2
    assert says in capsys.readouterr().err


def test_what_a_file_holds_is_neither_evaluated_nor_acted_upon_by_a_terminal(
    pairs, tmp_path, capsys
):
    file = tmp_path / "pairs.csv"
    good = pairs[0].pair
    formula = Pair("=1+1", 2, "=1+1", "=2", good.target, good.foil)
    red = replace(good, id="\x1b[31m" + "9" * 100_000, target=("\x1b[31m",))
    file.write_text(write([formula, red]), encoding="utf-8")
    assert main(["many", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("patchboard: None of 2 pairs can be used with this model. Line 2: The")
    file.write_text(write([good, formula, red]), encoding="utf-8")
    assert main(["many", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "line 3 (=1+1): The" in printed and "(\\x1b[31m999" in printed
    assert "\x1b" not in said + printed and len(printed) < 10_000


def test_of_several_lengths_one_is_kept_and_of_what_is_seldom_meant_a_word_is_said(
    tmp_path, capsys
):
    short, long = "Mary was sad because", "Mary was tired and sad because"
    texts = [(text, text.replace("Mary", "John")) for text in (short, short, long)]
    rows = [Pair(f"{i}", i, *both, (" she",), (" he",)) for i, both in enumerate(texts)]
    file = tmp_path / "pairs.csv"
    file.write_text(write(rows), encoding="utf-8")
    assert main(["many", str(file)]) == 2
    says = capsys.readouterr().err
    assert "4 tokens: 2 pairs (lines 2, 3); 6 tokens: 1 pair (line 4)" in says
    assert says.endswith("keep one length (--length N).\n") and says.count("\n") == 1
    assert main(["many", str(file), "--length=4"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(
        "Logit difference (mean) over pairs, 2 used of 3 given"
    )  # as the app
    assert "\nStrongest" in said.out
    assert "Careful: 1 pair (line 3) repeats the texts and words of one before" in said.err
    assert main(["many", str(file), "--length=9"]) == 2
    assert "No pair without roles has 9 tokens" in capsys.readouterr().err
