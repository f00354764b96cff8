"""What several sessions ask for is computed once, and goes with the last that keeps it."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from core import catalogue
from pages.parts import keeping
from pages.parts.sharing import Once, shared


class Work:
    """Ten steps, of which the one that `breaks` raises, once."""

    def __init__(self, breaks: int | None = None):
        self.taken: list[int] = []
        self.breaks = breaks

    def __iter__(self):
        for step in range(10):
            if step == self.breaks:
                self.breaks = None
                raise MemoryError
            time.sleep(0.001)  # so that others come meanwhile
            self.taken.append(step)
            yield step / 10


def test_sessions_that_ask_the_same_sweep_once_and_have_their_own_targets(open_app, sweeps):
    one, other = open_app(), open_app()
    foreign = open_app(target=" Brown")
    assert len(sweeps) == 1
    np.testing.assert_array_equal(one.map, other.map)
    assert not np.allclose(one.map, foreign.map)
    assert one.job is not other.job and one.job.of is other.job.of
    other.enter(direction="noise")
    assert len(sweeps) == 2
    one.job.stop()
    assert len(open_app().maps) == len(foreign.run().maps) == 1  # it is one's own job that stops


def test_what_nobody_keeps_any_longer_is_freed():
    shelf = keeping.shelf(catalogue.TEACHING.name)
    kept = shared(shelf, "work", lambda: Once(Work()))
    assert shared(shelf, "work", Work) is kept
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None and isinstance(shared(shelf, "work", Work), Work)


def test_two_who_drive_the_same_work_take_each_step_once():
    work = Once(Work())
    threads = [threading.Thread(target=list, args=(work,)) for _ in range(4)]
    first = iter(work)
    next(first)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(first) == [] and work.is_done and work.of.taken == [*range(10)]


def test_what_breaks_is_told_to_who_drove_it_and_begins_anew_with_the_next():
    work = Once(Work(breaks=3))
    with pytest.raises(MemoryError):
        list(work)
    assert len(list(work)) == 10 and work.is_done
