"""Who sees whom where runs attend together; that it is attention is claimed of the sweep."""

import random

import torch

from core.engine.tiles import Tiles, divided


def test_a_row_sees_the_base_before_its_run_and_of_its_own_run_what_is_not_later():
    """The drawing in the module."""
    tile, _ = divided(5, [1, 3])
    p = torch.tensor([1, 3])
    tiles = Tiles.of(5, tile, p, torch.tensor([1, 1]), bases=2)
    assert tiles.keys.tolist() == [[5, 6, 7, 10, 11, 12, 13, 14, 15]]  # of the second base, or own
    seen = ["x..x.....", "x..xx....", "x..xxx...", "x..xxxx..", "xxx....x.", "xxx....xx"]
    assert [["x" if of == 0 else "." for of in row] for row in tiles.mask[0]] == [*map(list, seen)]
    assert tiles.place.tolist() == [0, 1, 2, 3, 4, 5]


def test_what_runs_come_to_is_counted_before_and_small_tiles_end_with_large_ones():
    rng = random.Random(0)
    for T in (1, 5, 40):
        ps = [rng.randrange(T) for _ in range(30)]
        tile, extent = divided(T, ps)
        p = torch.tensor(ps)
        tiles = Tiles.of(T, tile, p, torch.zeros_like(p), bases=1)
        assert tiles.mask.shape == (extent.n, extent.W, extent.K)
        assert (len(tiles.place), extent.N) == (extent.R, 30)
        rows = tiles.keys[:, extent.K - extent.W :].flatten()[tiles.place]
        assert rows.tolist() == list(range(T, T + extent.R))
        assert max(extent.W, 32) == max(32, *(T - p for p in ps))  # shared only where there is room
