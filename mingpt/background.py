"""Waiting for something slow so that one can stop waiting at any time."""

from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

_AHEAD = 2  # items that are made before they are asked for


def in_background(
    items: Iterator[Item], while_waiting: Callable[[], None], tick: float
) -> Iterator[Item]:
    """What `items` gives, made in a thread of its own; `while_waiting` is called every `tick`
    seconds in which nothing comes. What that raises passes through at once, as what `items` raises
    does; the thread ends when the item that it is waiting for has come."""
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(_AHEAD)
    gone = Event()

    def make() -> None:
        try:
            for item in items:
                if not hand(item, None):
                    break
        except BaseException as error:
            hand(None, error)
        else:
            hand(None, StopIteration())
        finally:
            items.close()

    def hand(item: Item | None, error: BaseException | None) -> bool:
        """Whether there still is somebody to take it."""
        while not gone.is_set():
            try:
                queue.put((item, error), timeout=tick)
                return True
            except Full:
                continue
        return False

    Thread(target=make, daemon=True).start()
    try:
        while True:
            try:
                item, error = queue.get(timeout=tick)
            except Empty:
                while_waiting()
                continue
            if isinstance(error, StopIteration):
                return
            if error:
                raise error
            yield item
    finally:
        gone.set()
