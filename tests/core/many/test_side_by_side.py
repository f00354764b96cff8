"""Pieces of work at once: all of each, few at a time, and nothing goes on behind one's back."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch

from core.many.side_by_side import most_on, side_by_side

AT_ONCE = [1, 2, 3]
CPU = torch.device("cpu")


@pytest.fixture
def threads() -> Iterator[int]:
    """Six threads of torch's, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield 6
    torch.set_num_threads(before)


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_all_of_each_piece_comes_in_its_order_and_few_are_under_way(at_once):
    under_way, most = set(), []

    def piece(number: int) -> Iterator[int]:
        under_way.add(number)
        for n in range(number % 4):
            most.append(len(under_way))
            time.sleep(0.002)
            yield 10 * number + n
        under_way.remove(number)

    said = list(side_by_side([*map(piece, range(9))], at_once))
    assert sorted(said) == [10 * number + n for number in range(9) for n in range(number % 4)]
    for number in range(9):
        own = [of for of in said if of // 10 == number]
        assert own == sorted(own)
    assert max(most) == at_once


@pytest.mark.parametrize("at_once", [2, 3])
def test_they_are_computed_at_the_same_time(at_once):
    """None could go on, if the others were not under way."""
    all_there = threading.Barrier(at_once, timeout=30)

    def piece() -> Iterator[int]:
        yield all_there.wait()

    assert sorted(side_by_side([piece() for _ in range(at_once)], at_once)) == [*range(at_once)]


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_whoever_stops_iterating_stops_the_work(at_once):
    steps = []

    def piece(number: int) -> Iterator[int]:
        for n in range(1000):
            steps.append((number, n))
            yield n

    iterating = side_by_side([*map(piece, range(8))], at_once)
    list(islice(iterating, 20))
    iterating.close()
    taken = len(steps)
    assert taken <= 20 + at_once
    time.sleep(0.05)
    assert len(steps) == taken


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_an_error_of_a_piece_ends_all_and_is_raised(at_once):
    steps = []

    def piece(number: int) -> Iterator[int]:
        for n in range(100):
            if (number, n) == (1, 3):
                raise ArithmeticError("not finite")
            steps.append(number)
            yield n

    with pytest.raises(ArithmeticError, match="not finite"):
        list(side_by_side([*map(piece, range(3))], at_once))
    taken = len(steps)
    time.sleep(0.05)
    assert len(steps) == taken


def test_each_has_its_share_of_torchs_threads_and_all_others_have_theirs(threads):
    def piece() -> Iterator[int]:
        yield torch.get_num_threads()

    def all_others() -> list[int]:
        with ThreadPoolExecutor(1) as fresh:
            return [torch.get_num_threads(), fresh.submit(torch.get_num_threads).result()]

    for _ in range(2):
        iterating = side_by_side([piece() for _ in range(5)], 3)
        assert next(iterating) == 2 and all_others() == [6, 6]
        assert list(iterating) == [2] * 4 and all_others() == [6, 6]
    assert list(side_by_side([piece(), piece()], 1)) == [6, 6]
    assert list(side_by_side([piece()], 3)) == [6]  # alone it has all of them
    assert list(side_by_side([], 3)) == []


def test_there_are_no_more_at_once_than_threads_nor_more_than_a_few(threads):
    assert most_on(CPU) == 2
    torch.set_num_threads(1)
    assert most_on(CPU) == 1
    assert most_on(torch.device("cuda")) == 1
