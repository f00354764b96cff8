"""From the values of many pairs to one map: against sums written out, and a bootstrap by hand."""

import numpy as np
import pytest

from core.errors import UserError
from core.many.summary import samples, summarize
from core.many.values import Values

SHAPE = (3, 4)


def values(n, seed=0, metric="logit_diff"):
    rng = np.random.default_rng(seed)
    ends = [(-4 + rng.normal(), 3 + rng.normal()) for _ in range(n)]
    grids = [rng.normal(size=SHAPE).astype(np.float32) * 3 for _ in range(n)]
    return [Values({metric: end}, {metric: grid}) for end, grid in zip(ends, grids, strict=True)]


def even(n):
    return samples([""] * n, count=50)


def test_recovery_is_a_ratio_of_means_or_if_asked_a_mean_of_ratios():
    of = values(5)
    one = summarize(of, "recovery", "corrupted", even(5))
    above = sum(v.grids["logit_diff"] - v.baselines["logit_diff"][1] for v in of)
    below = sum(v.baselines["logit_diff"][0] - v.baselines["logit_diff"][1] for v in of)
    np.testing.assert_allclose(one.mean, above / below, rtol=1e-5)
    assert (one.clean, one.corrupted, one.unpatched) == pytest.approx((1, 0, 0))
    other = summarize(of, "recovery", "corrupted", even(5), of_ratios=True)
    ratios = [
        (v.grids["logit_diff"] - v.baselines["logit_diff"][1])
        / (v.baselines["logit_diff"][0] - v.baselines["logit_diff"][1])
        for v in of
    ]
    np.testing.assert_allclose(other.mean, np.mean(ratios, axis=0), rtol=1e-5)
    assert not np.allclose(one.mean, other.mean, atol=1e-3)


@pytest.mark.parametrize("base", ["clean", "corrupted"])
def test_other_metrics_are_means_and_agreement_is_the_share_with_the_means_sign(base):
    of = values(7, metric="target_prob")
    found = summarize(of, "target_prob", base, even(7))
    grids = np.stack([v.grids["target_prob"] for v in of])
    side = 0 if base == "clean" else 1
    plain = np.array([v.baselines["target_prob"][side] for v in of])
    np.testing.assert_allclose(found.mean, grids.mean(axis=0), rtol=1e-5)
    assert found.unpatched == pytest.approx(plain.mean())
    moved = grids - plain[:, None, None]
    for cell in np.ndindex(SHAPE):
        up = moved[:, *cell].mean() > 0
        assert found.agreement[cell] == pytest.approx(np.mean((moved[:, *cell] > 0) == up))


def test_agreement_of_a_recovery_counts_each_pair_by_its_own_unpatched_run():
    """Into the clean run: a patch that leaves every pair as it is moves none, whatever LD is."""
    of = values(6)
    still = [
        Values(v.baselines, {"logit_diff": np.full(SHAPE, v.baselines["logit_diff"][0] + 0.1)})
        for v in of
    ]
    found = summarize(still, "recovery", "clean", even(6))
    assert found.agreement == pytest.approx(np.ones(SHAPE))
    assert found.unpatched == pytest.approx(1)


def test_an_interval_is_that_of_drawing_pairs_again_and_again():
    of = values(12)
    weights = samples([""] * 12, count=4000, seed=1)
    found = summarize(of, "logit_diff", "corrupted", weights)
    rng, grids = np.random.default_rng(7), np.stack([v.grids["logit_diff"] for v in of])
    drawn = [grids[rng.integers(12, size=12)].mean(axis=0) for _ in range(4000)]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(found.low, low, atol=0.12)
    np.testing.assert_allclose(found.high, high, atol=0.12)
    assert ((found.low < found.mean) & (found.mean < found.high)).all()


def test_a_cell_says_nothing_where_no_effect_is_within_its_interval():
    of = [Values({"kl": (0.0, 0.0)}, {"kl": np.array([[1.0 + i, (-1.0) ** i]])}) for i in range(20)]
    found = summarize(of, "kl", "corrupted", even(20))
    assert found.says_nothing.tolist() == [[False, True]]


def test_pairs_of_a_group_are_drawn_together_and_seeds_repeat():
    weights = samples(["a", "a", "", "", "b", "b"], count=200)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, 2] != weights[:, 3]).any()
    assert weights.sum(axis=1).min() >= 4  # four draws, of one pair or of two
    assert (weights == samples(["a", "a", "", "", "b", "b"], count=200)).all()
    assert (weights != samples(["a", "a", "", "", "b", "b"], count=200, seed=1)).any()


def test_runs_that_hardly_differ_have_no_recovery():
    grids = {"logit_diff": np.ones(SHAPE)}
    alike = [Values({"logit_diff": (1.0, 1.0)}, grids)] * 3
    with pytest.raises(UserError, match=r"over 3 pairs that is 0\.0000: take another metric"):
        summarize(alike, "recovery", "corrupted", even(3))
    one_of_them = [*alike[:1], Values({"logit_diff": (1.0, 3.0)}, grids)]
    with pytest.raises(UserError, match="of 1 of 2 pairs hardly differ"):
        summarize(one_of_them, "recovery", "corrupted", even(2), of_ratios=True)
    assert np.isfinite(summarize(one_of_them, "recovery", "corrupted", even(2)).mean).all()
