"""Attribution patching: the slope of the exact map."""

from dataclasses import replace

import torch

from core.engine import patching
from core.reading.preview import head_preview
from tests.hooked_gpt2 import texts


def test_the_preview_is_the_slope_of_the_exact_map(twins):
    """For a source close to the base, patching is linear, and the preview exact."""
    _, ours = twins(3, 2, 12)
    base_ids, source_ids = texts(6, 1)
    base, source = patching.record(ours, base_ids, source_ids)
    near = replace(source, resid=base.resid + 0.05 * (source.resid - base.resid))
    *_, (_, states) = patching.sweep(ours, base, near, site="head_z")
    difference = ours.lm_head.weight[8] - ours.lm_head.weight[3]
    exact = states @ difference - base.state @ difference
    estimate = head_preview(ours, base, near, target=3, foil=8)
    assert exact.abs().max() > 1e-3
    torch.testing.assert_close(estimate, exact, atol=0.1 * exact.abs().max().item(), rtol=0)
