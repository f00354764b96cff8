"""What can be measured: a table of metrics, a new one being one row.

A metric is a formula over what final states say (`core.reading.states.Says`): logits of the target
and the foil, and the logarithm of the softmax's denominator. It is written here, without a tensor
in sight, and computed by `core.reading.states.measure`. LD is always logit(foil) - logit(target).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import UserError

# Below this, dividing by LD_clean - LD_corrupted says more about rounding than about the model.
SMALLEST_DIFFERENCE = 0.01

# By how much the two runs, or a patch, must differ for it to matter, in each unit. Half a logit
# is odds that change by a factor of 1.6; 0.02 nats of KL leave room for no token's probability to
# move by more than 10 points (Pinsker's inequality).
MATTERS = {"logits": 0.5, "probability": 0.01, "nats": 0.02}


@dataclass(frozen=True)
class Metric:
    """What a metric is called, how it is written (`{target}` and `{foil}` to be filled in), what
    its number says and is counted in (a key of MATTERS; "" for a fraction of a difference), its
    formula over what the patched, the clean and the corrupted run say, and what it is `within`."""

    title: str
    formula: str
    says: str
    unit: str
    measure: Callable
    within: tuple[float, float] = (-math.inf, math.inf)


def _recovery(patched, clean, corrupted):
    difference = clean.logit_diff - corrupted.logit_diff
    if abs(difference) < SMALLEST_DIFFERENCE:
        raise UserError(
            "Recovery divides by the difference between the two runs, and here they hardly differ:"
            f" LD is {float(clean.logit_diff):.4f} on the clean and"
            f" {float(corrupted.logit_diff):.4f} on the corrupted text. Choose another target and"
            " foil, or another metric.",
            "metric",
        )
    return (patched.logit_diff - corrupted.logit_diff) / difference


def _kl(patched, clean, corrupted):
    """KL(clean ‖ patched) = sum over v of P_clean(v) (log P_clean(v) - log P_patched(v)), where
    log P(v) = logit(v) - log Z and the P_clean(v) sum to 1: so of each run it takes only the mean
    of its logits, weighted by P_clean, and log Z."""
    return (clean.mean_logit - clean.log_z) - (patched.mean_logit - patched.log_z)


METRICS = {
    "logit_diff": Metric(
        "Logit difference",
        "logit({foil}) - logit({target})",
        "Negative where the target wins, positive where the foil wins.",
        "logits",
        lambda patched, clean, corrupted: patched.logit_diff,
    ),
    "recovery": Metric(
        "Recovery",
        "(LD patched - LD corrupted) / (LD clean - LD corrupted)",
        "0 is the corrupted run, 1 the clean run.",
        "",
        _recovery,
    ),
    "target_logit_change": Metric(
        "Target logit change",
        "logit({target}) patched - clean",
        "0 where the patched run believes in the target as much as the clean run.",
        "logits",
        lambda patched, clean, corrupted: patched.target - clean.target,
    ),
    "target_prob": Metric(
        "Target probability",
        "P({target})",
        "How likely the target is to come next, from 0 to 1.",
        "probability",
        lambda patched, clean, corrupted: patched.target_prob,
        within=(0, 1),
    ),
    "foil_prob": Metric(
        "Foil probability",
        "P({foil})",
        "How likely the foil is to come next, from 0 to 1.",
        "probability",
        lambda patched, clean, corrupted: patched.foil_prob,
        within=(0, 1),
    ),
    "prob_diff": Metric(
        "Probability difference",
        "P({foil}) - P({target})",
        "From -1, the target for certain, to 1, the foil for certain.",
        "probability",
        lambda patched, clean, corrupted: patched.foil_prob - patched.target_prob,
        within=(-1, 1),
    ),
    "kl": Metric(
        "KL divergence",
        "KL(clean ‖ patched), nats",
        "0 where the whole prediction is that of the clean run.",
        "nats",
        _kl,
        within=(0, math.inf),
    ),
}
