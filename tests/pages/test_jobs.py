"""Jobs: where long work stands, whatever happens to it, and whose turn it is."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from core.errors import UserError
from pages.parts import jobs
from pages.parts.jobs import Allowance, Job, Left, Place, Queue, State


class Steps:
    """Work of four steps; the third fails as often as `failures` has something to raise."""

    def __init__(self, *failures: Exception):
        self.failures = list(failures)
        self.begun = 0

    def __iter__(self):
        self.begun += 1
        yield from (0.0, 0.5)
        if self.failures:
            raise self.failures.pop()
        yield 0.75
        return 7


def job_of(steps: Steps, seconds: float = 0.0) -> Job:
    return Job(steps.__iter__, seconds, of=steps)


def drive(job: Job) -> Job:
    with job.driven():
        while job.state is State.RUNS:
            job.advance()
    return job


def test_short_work_waits_for_a_page_to_drive_it_and_finishes():
    job = job_of(Steps())
    assert job.state is State.WAITS and job.result is None
    assert drive(job).state is State.FINISHED and (job.fraction, job.result) == (1, 7)
    assert drive(job).of.begun == 1  # and is never done again


def test_work_that_is_to_be_asked_for_begins_when_a_person_says_so():
    job = Job(Steps().__iter__, asked=True)
    assert drive(job).state is State.ASKS and job.fraction == 0
    job.go()
    assert drive(job).state is State.FINISHED and job.was_asked


def test_a_run_of_the_page_that_is_interrupted_leaves_the_work_to_the_next():
    job = job_of(Steps())
    with pytest.raises(InterruptedError), job.driven():
        job.advance(), job.advance()
        assert job.state is State.RUNS
        raise InterruptedError
    assert (job.state, job.fraction) == (State.WAITS, 0.5)
    assert drive(job).state is State.FINISHED and job.of.begun == 1


def test_stopped_work_stays_where_it_is_until_it_is_to_go_on():
    job = job_of(Steps())
    with job.driven():
        job.advance(), job.advance()
        job.stop()
        job.advance()
    assert (drive(job).state, job.fraction) == (State.STOPPED, 0.5)
    job.go()
    assert drive(job).state is State.FINISHED and job.of.begun == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UserError("Overflow: use bfloat16."), "Overflow: use bfloat16."),
        (ZeroDivisionError("secret"), "Something broke; what it was is in the terminal"),
    ],
)
def test_work_that_raises_has_failed_says_why_and_can_be_tried_again(error, says, caplog):
    job = job_of(Steps(error))
    assert drive(job).state is State.FAILED
    assert job.problem.startswith(says)
    assert ("secret" in caplog.text) is (not isinstance(error, UserError))
    assert drive(job).state is State.FAILED  # until somebody asks
    job.go()
    assert drive(job).state is State.FINISHED and job.of.begun == 2


def test_two_runs_of_the_page_never_take_one_step_at_once():
    """Python refuses a generator that is inside a step already, and the job would fail."""
    inside = threading.Event()

    def slow():
        for _ in range(20):
            inside.set()
            time.sleep(0.005)
            yield 0.5

    job = Job(slow)
    with ThreadPoolExecutor() as threads:
        drives = [threads.submit(drive, job) for _ in range(2)]
        assert inside.wait(10)
    assert [done.result().state for done in drives] == [State.FINISHED] * 2


# --- the queue ----------------------------------------------------------------------------------


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that within 10 seconds"
        time.sleep(0.01)


class Person:
    """Who waits in a queue, in a thread of their own: works so many steps of so many seconds."""

    def __init__(self, queue: Queue, steps: int, log: list, name: str, session: object = None):
        self.seen: list[int] = []
        self._thread = threading.Thread(
            target=self._work, args=(queue, steps, log, name, session or self), daemon=True
        )
        self._thread.start()

    def _work(self, queue: Queue, steps: int, log: list, name: str, session: object) -> None:
        try:
            with queue.turn(session, self.seen.append) as place:
                for _ in range(steps):
                    time.sleep(0.02)
                    queue.give_way(place, self.seen.append)
                log.append(name)
        except Left:
            log.append(f"{name} left")

    def ends(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_who_comes_later_is_told_how_many_come_before(monkeypatch):
    monkeypatch.setattr(jobs, "LOOK_EVERY", 0.01)
    queue, log = Queue(), []
    with queue.turn("the first", pytest.fail):
        second = Person(queue, 1, log, "second")
        until(lambda: second.seen)
        third = Person(queue, 1, log, "third")
        until(lambda: third.seen)
        assert len(queue) == 3
    second.ends(), third.ends()
    assert log == ["second", "third"]
    assert (set(second.seen), third.seen[0]) == ({1}, 2)
    assert len(queue) == 0


def test_short_work_does_not_wait_for_the_end_of_long_work(monkeypatch):
    monkeypatch.setattr(jobs, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(jobs, "_SLICE", 0.05)
    queue, log = Queue(), []
    long = [Person(queue, 25, log, "long") for _ in range(2)]
    time.sleep(0.2)
    short = [Person(queue, 1, log, "short") for _ in range(3)]
    for person in short + long:
        person.ends()
    assert log == ["short"] * 3 + ["long"] * 2


def test_long_work_comes_to_its_turn_too_once_it_has_waited_long():
    long, short = Place("long", used=10, since=0), Place("short", since=70)
    assert long.rank(75) > short.rank(75)
    later = Place("short", since=95)
    assert long.rank(100) < later.rank(100)


def test_a_session_has_one_place_which_its_last_run_takes(monkeypatch):
    monkeypatch.setattr(jobs, "LOOK_EVERY", 0.01)
    queue, log, session = Queue(), [], object()
    with queue.turn("another", pytest.fail):
        older = Person(queue, 1, log, "older", session)
        until(lambda: older.seen)
        newer = Person(queue, 1, log, "newer", session)
        older.ends()
        assert len(queue) == 2
    newer.ends()
    assert log == ["older left", "newer"]


def test_who_leaves_while_waiting_or_fails_is_not_waited_for():
    """As an interrupted page does: whatever it raises comes out of the call to `wait`."""
    queue = Queue()

    def leave(before: int) -> None:
        raise InterruptedError

    with queue.turn(1, pytest.fail), pytest.raises(InterruptedError), queue.turn(2, leave):
        pytest.fail("it was not its turn")
    with pytest.raises(ZeroDivisionError), queue.turn(3, pytest.fail):
        raise ZeroDivisionError
    with queue.turn(4, pytest.fail):
        pass
    assert len(queue) == 0


def test_what_was_used_of_an_allowance_comes_back_with_time(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(jobs, "time", clock)
    once, hourly = Allowance(15), Allowance(60, 3600)
    for allowance in (once, hourly):
        allowance.use(20)
    assert (once.left, hourly.left) == (-5, 40)
    hourly.use(50)
    assert hourly.comes_back_in == 600
    clock.now = 1200
    assert (once.left, hourly.left, hourly.comes_back_in) == (-5, 10, 0)
    clock.now = 99999
    assert (once.left, hourly.left) == (-5, 60)
    assert Allowance(math.inf, 3600).left == math.inf
