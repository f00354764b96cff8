"""The engine's own parts; that it is the plain loop is claimed of the sweep, in test_patching."""

import pytest
import torch

from core.engine import suffix
from mingpt.settings import ACTIVATIONS, activation


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16, torch.half])
def test_an_activation_is_the_models_own_to_the_precision_of_its_numbers(name, dtype):
    act = activation(name)
    x, bias = torch.linspace(-8, 8, 4 * 999).view(999, 4).to(dtype), torch.arange(4).to(dtype)
    found = x - bias
    expected = act(found + bias)
    suffix.activate_(act, found, bias)
    torch.testing.assert_close(found, expected)
