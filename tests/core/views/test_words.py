"""The words of a map: which metric, what was patched, with what and into what."""

from dataclasses import replace

import pytest

from core.result import Result
from core.views.words import summary, wording
from tests.builders import experiment


def asked(result: Result, **changes) -> Result:
    return replace(result, experiment=experiment(**changes))


def test_the_metric_is_worded_with_both_tokens(result):
    assert wording(result) == "logit(·Poe) - logit(·Lee)"
    assert wording(asked(result, metric="target_prob")) == "P(·Lee)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "resid_post: clean into the corrupted run (denoise)"),
        ({"direction": "noise"}, "resid_post: corrupted into the clean run (noise)"),
        ({"direction": "zero"}, "resid_post: zeros into the clean run (zero)"),
        ({"site": "head_z"}, "head_z: clean into the corrupted run (denoise)"),
        (
            {"window": 2},
            "resid_post, 2 layers more on either side: clean into the corrupted run (denoise)",
        ),
    ],
)
def test_the_summary_says_what_was_put_where(result, changes, words):
    assert summary(asked(result, **changes)) == words
