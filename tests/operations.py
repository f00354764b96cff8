"""How many floating-point operations something takes: torch's own count, completed."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

_aten = torch.ops.aten


def counted(compute: Callable[[], object], attention: bool = True) -> int:
    """The operations of all products; with `attention` also those of torch's attention."""
    of = {
        _aten.addmm_: lambda _, x, y, **kwargs: 2 * x[0] * x[1] * y[1],
        _aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *args, **kwargs: (
            sdpa_flop_count(q, k, v) if attention else 0
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=of) as counter:
        compute()
    return counter.get_total_flops()
