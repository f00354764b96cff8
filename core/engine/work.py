"""How much a sweep has to compute, counted, and how fast this machine is.

Counts are floating-point operations of matrix products, a multiplication and an addition being
two; LayerNorm, activations and softmax are well under a percent. A row of C channels, M of them
inside an MLP, that goes through a block takes

    query, key and value    three products with (C, C)                6 C^2
    output projection       one with (C, C)                           2 C^2
    MLP                     (C, M), then (M, C)                       4 C M
    attention               at position i, over i + 1 keys: scores    2 C (i + 1)
                            and the mix of values                     2 C (i + 1)

and in the last block, of which the last position alone is read, 4 C^2 for key and value, and once
for each run 4 C^2 + 4 C M and the attention of the last position.

In the block before which a run begins, the rows behind a patched one are the base's still, whose
query, key and value are known.
"""

import os
import re
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from reprlib import repr as brief

import torch

from core.errors import UserError

_MOST_THREADS = 8  # for each processor: with thousands of them torch itself breaks
_USUAL_FRACTION = 0.8  # of the rate of large products that a sweep reaches
_LONG = 3.0  # seconds
_rates: dict[str, float] = {}  # device -> operations per second


def choose_threads(given: int | None = None) -> None:
    """Give torch one thread for each processor this process may use, or fewer where the environment
    variable OMP_NUM_THREADS says so or, in its place, whoever started this process has `given` it
    fewer; PATCHBOARD_THREADS overrides all. The one place where the number is decided. Raises
    UserError for a variable that is no number, or far more than there are processors."""
    allowed = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    own = _threads("PATCHBOARD_THREADS")
    most = _MOST_THREADS * max(allowed, os.cpu_count() or 1)
    if own and own > most:
        raise UserError(
            f"PATCHBOARD_THREADS is {own}, far more than this machine has processors: set it to a"
            f" number from 1 to {most}, or unset it."
        )
    torch.set_num_threads(own or min(allowed, given or _threads("OMP_NUM_THREADS") or allowed))


def _threads(variable: str) -> int | None:
    """What an environment variable says; of OpenMP's, which may list a number for each level of
    threads within threads, the outermost level's. None if it is not set."""
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,2}(,.*)?", value):
        raise UserError(
            f"{variable} is {brief(value)}: set it to a number from 1 to 999, or unset it."
        )
    return int(value.partition(",")[0])


@lru_cache(maxsize=1 << 15)  # a long text asks for thousands
def block_work(C: int, M: int, T: int, p: int, new: int, last: bool = False) -> int:
    """Operations of one block on the positions from p on, of T, the first `new` of which have a
    query, key and value of their own."""
    S, row = T - p, 2 * C**2 + 4 * C * M  # after the attention
    if last:
        return 4 * C**2 * new + 2 * C**2 * (new == S) + row + 4 * C * T
    keys_seen = (T * (T + 1) - p * (p + 1)) // 2  # i + 1 summed over i from p to T - 1
    return 6 * C**2 * new + row * S + 4 * C * keys_seen


@lru_cache(maxsize=1 << 15)
def run_work(L: int, C: int, M: int, T: int, block: int, p: int, new: int) -> int:
    """Operations of a run that begins before a block, of L, and at a position p, where it differs
    from the base in `new` positions."""
    return sum(
        block_work(C, M, T, p, new if r == block else T - p, last=r == L - 1)
        for r in range(block, L)
    )


def plain_work(L: int, C: int, M: int, T: int, differ: int) -> int:
    """Operations of two plain runs that are one and the same before they `differ`."""
    return sum(run_work(L, C, M, T, 0, p, T - p) for p in (0, differ))


def seconds_for(operations: int, device: str) -> float:
    """About how long a sweep's operations take here. For what seems to take long the rate is
    measured once more: other work may have slowed it down when it was measured before."""
    seconds = operations / (_USUAL_FRACTION * rate(device))
    if seconds > _LONG:
        _rates[device] = max(_rates[device], _measured_rate(device))
    return operations / (_USUAL_FRACTION * _rates[device])


def rate(device: str) -> float:
    """Operations per second of large float32 matrix products on this machine, the most that were
    seen."""
    if device not in _rates:
        _rates[device] = _measured_rate(device)
    return _rates[device]


def _measured_rate(device: str, seconds: float = 0.1) -> float:
    """That of the quickest of some products, since others may be at work meanwhile."""
    size = 1024
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    (a @ b).sum().item()  # the first product also starts the threads
    quickest, until = float("inf"), time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        (a @ b).sum().item()
        quickest = min(quickest, time.perf_counter() - started)
    return 2 * size**3 / quickest


def available_memory() -> int | None:
    """How many bytes this process can still have, of the machine's and of its container's; None
    where the system does not tell."""
    found = _of_machine("MemAvailable")
    limits, used = _of_container("memory.max"), _of_container("memory.current")
    if limits and used:
        found.append(max(0, limits[0] - used[0]))
    return min(found, default=None)


def whole_memory() -> int | None:
    """How many bytes the machine has, or its container may have; None where the system does not
    tell."""
    # The second is where containers of the older kind have their limit.
    limits = _of_container("memory.max") + _of_container("memory/memory.limit_in_bytes")
    return min(_of_machine("MemTotal") + limits, default=None)


def own_memory() -> int | None:
    """How many bytes of the machine's memory this process has; None where the system does not
    tell."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_machine(name: str) -> list[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith(f"{name}:"))
        return [int(line.split()[1]) * 1024]
    return []


def _of_container(name: str) -> list[int]:
    with suppress(OSError, ValueError):  # "max" where there is no limit
        return [int(Path("/sys/fs/cgroup", name).read_text())]
    return []
