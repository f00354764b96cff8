"""The engine's own parts; that it is the plain loop is claimed of the sweep, in test_patching."""

import pytest
import torch
from torch.nn import functional as F

from core.engine import suffix


@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16, torch.half])
def test_the_gelu_is_torchs_own_to_the_precision_of_its_numbers(dtype):
    x = torch.linspace(-8, 8, 4 * 999).view(999, 4).to(dtype)
    found = x.clone()
    suffix.gelu_(found)
    torch.testing.assert_close(found, F.gelu(x, approximate="tanh"))
