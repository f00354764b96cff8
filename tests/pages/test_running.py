"""The line in front of the processor: one sweep at a time, in the order of coming."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.engine import patching
from pages.parts import running
from pages.parts.running import Line


@pytest.mark.parametrize("every", [float("inf"), -1], ids=["unseen", "drawn at every step"])
def test_the_plain_runs_are_computed_along_with_the_sweep(open_app, monkeypatch, every):
    """In one pass, as `python -m core bench` measures it, and however slow the machine is: on
    their own they are rounded otherwise, and a link would show other last digits."""
    for name in ("_SHOW_AFTER", "_BAR_EVERY", "_MAP_EVERY"):
        monkeypatch.setattr(running, name, every)
    monkeypatch.setattr(patching, "finish", pytest.fail)
    assert open_app().maps


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that within 10 seconds"
        time.sleep(0.01)


def test_one_alone_does_not_wait():
    waits = []
    with Line().turn(waits.append):
        pass
    assert waits == []


def test_who_comes_later_is_told_how_many_come_before():
    line, first_may_go = Line(), threading.Event()
    seen = {name: [] for name in ("first", "second", "third")}
    order = []

    def sweep(name: str) -> None:
        with line.turn(seen[name].append):
            order.append(name)
            first_may_go.wait()

    with ThreadPoolExecutor() as threads:
        try:
            threads.submit(sweep, "first")
            until(lambda: order)
            threads.submit(sweep, "second")
            until(lambda: seen["second"])
            threads.submit(sweep, "third")
            until(lambda: seen["third"])
        finally:  # or the threads would wait for ever
            first_may_go.set()
    assert order == ["first", "second", "third"]
    assert (set(seen["first"]), set(seen["second"]), seen["third"][0]) == (set(), {1}, 2)


def test_who_leaves_while_waiting_is_not_waited_for():
    """As an interrupted page does: whatever it raises comes out of the call to `wait`."""
    line = Line()

    def leave(before: int) -> None:
        raise InterruptedError

    with line.turn(pytest.fail), pytest.raises(InterruptedError), line.turn(leave):
        pytest.fail("it was not its turn")
    with line.turn(pytest.fail):
        pass


def test_a_sweep_that_fails_gives_up_its_turn():
    line = Line()
    with pytest.raises(ZeroDivisionError), line.turn(pytest.fail):
        raise ZeroDivisionError
    with line.turn(pytest.fail):
        pass
