"""How much a sweep has to compute, counted, and how fast this machine is.

Counts are floating-point operations, a multiplication and an addition being two, of the matrix
products alone; LayerNorm, GELU and softmax are a fraction of a percent.

A block takes, for each row of C channels that passes through it,

    query, key, value   3 products with (C, C)       6 C^2
    output projection   1 product with (C, C)        2 C^2
    MLP                 (C, 4 C) and (4 C, C)       16 C^2
    attention           scores and mix, at position i over i + 1 keys    4 C (i + 1)

and the last block, of which only the last position is read, 4 C^2 for each row's key and value,
and 20 C^2 and the attention once for each run.
"""

import time
from functools import cache

import torch

from mingpt.utils import CfgNode


def run_work(config: CfgNode, T: int, start: int, p: int) -> int:
    """Operations of a run that begins before block `start` at position p of T, to the end."""
    blocks = config.n_layer - start
    if not blocks:
        return 0
    return (blocks - 1) * block_work(config, T, p) + block_work(config, T, p, last=True)


def block_work(config: CfgNode, T: int, p: int, *, last: bool = False) -> int:
    """Operations of one block on the positions from p to T of one run."""
    C, S = config.n_embd, T - p
    if last:
        return 4 * C**2 * S + 20 * C**2 + 4 * C * T
    keys_seen = (T * (T + 1) - p * (p + 1)) // 2  # sum of i + 1 for i from p to T - 1
    return 24 * C**2 * S + 4 * C * keys_seen


@cache
def rate(device: str, seconds: float = 0.05) -> float:
    """Operations per second of large float32 matrix products here and now; measured once."""
    size = 1024
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    (a @ b).sum().item()  # the first product also starts the threads
    products, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        (a @ b).sum().item()
        products += 1
    return products * 2 * size**3 / elapsed
