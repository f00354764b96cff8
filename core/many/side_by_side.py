"""Several pieces of work at once, each on a thread of its own with its share of torch's threads.

A product alone keeps all processors busy, but for a moment at its end in which they wait for each
other, and what lies between products (rows are gathered, normed, added) hardly does. Pieces that do
not wait for each other lose nothing to either.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import torch

Said = TypeVar("Said")
_MOST = 2  # pieces at once: each takes its own memory


def most_on(device: torch.device) -> int:
    """How many pieces of work there may be at once: one where they share a graphics processor."""
    return min(_MOST, torch.get_num_threads()) if device.type == "cpu" else 1


def side_by_side(pieces: Sequence[Iterator[Said]], at_once: int) -> Iterator[Said]:
    """What the pieces yield as they go on, so many of them at once. Whoever stops iterating waits
    for the steps that are on their way, and no more are taken. An error of a piece ends all."""
    at_once, pieces = min(at_once, len(pieces)), iter(pieces)
    if at_once <= 1:
        for piece in pieces:
            yield from piece
        return
    pool = _pool(at_once, max(1, torch.get_num_threads() // at_once))
    under_way: dict[Future, Iterator[Said]] = {}

    def go_on(some: Iterable[Iterator[Said]]) -> None:
        under_way.update({pool.submit(next, piece, None): piece for piece in some})

    go_on(islice(pieces, at_once))
    try:
        while under_way:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                piece, said = under_way.pop(future), future.result()
                go_on(islice(pieces, 1) if said is None else [piece])
                if said is not None:
                    yield said
    finally:
        wait(under_way)


@lru_cache(maxsize=4)
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Workers whose products have so many threads each."""
    all_there = threading.Barrier(workers)

    def begin() -> None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # what is set is a thread's own once it has been asked for
        all_there.wait()

    # It is also that of all threads to come, till this one's is put back.
    own = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "side-by-side", initializer=begin)
    wait([pool.submit(int) for _ in range(workers)])
    torch.set_num_threads(own)
    return pool
