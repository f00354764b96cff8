"""For the tests of `core`: Hugging Face's GPT-2 beside ours."""

from collections.abc import Callable
from functools import partial

import pytest

from tests import hooked_gpt2


@pytest.fixture
def twins(tmp_path) -> Callable:
    """`twins(L, H, C)`: Hugging Face's model and ours, of the same random weights."""
    return partial(hooked_gpt2.twins, tmp_path)
