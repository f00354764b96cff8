"""What several sessions ask for is computed once for all of them.

A class opens one link: each session has jobs of its own, which it may stop, but what they drive is
one. It lives as long as one of the sessions keeps it, so that it is bounded by what those may keep.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

Of = TypeVar("Of", bound=Iterable)
Value = TypeVar("Value")
_getting = threading.Lock()
_shared: WeakKeyDictionary[object, WeakValueDictionary] = WeakKeyDictionary()


class Once(Generic[Of]):
    """Work in steps, `of` which several may take the next, each from a thread of its own."""

    def __init__(self, of: Of):
        self.of = of
        self.is_done = False
        self._steps: Iterator[float] | None = None
        self._stepping = threading.Lock()

    def __iter__(self) -> Iterator[float]:
        """Drive it on from where it stands; yields the fraction that is done. What breaks it is
        raised to whoever was driving, and begins anew with the next."""
        while True:
            with self._stepping:
                if self.is_done:
                    return
                try:
                    self._steps = self._steps or iter(self.of)
                    fraction = next(self._steps)
                except StopIteration:
                    self.is_done, self._steps = True, None
                    return
                except BaseException:
                    self._steps = None
                    raise
            yield fraction


def shared(on: object, what: Hashable, make: Callable[[], Value]) -> Value:
    """What some session keeps on a shelf as `what`, made if none does."""
    with _getting:
        of = _shared.setdefault(on, WeakValueDictionary())
        found = of.get(what)
        if found is None:
            found = of[what] = make()
        return found
