"""Jobs: where long work stands, whatever happens to it, and whose turn it is."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import UserError
from pages.parts.jobs import Job, Queue, State


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


def test_long_work_asks_first():
    job = job_of(Steps(), seconds=16)
    assert drive(job).state is State.ASKS and job.fraction == 0
    job.go()
    assert drive(job).state is State.FINISHED
    assert drive(job_of(Steps(), seconds=15)).state is State.FINISHED  # which has a way to cancel


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


def test_who_comes_later_is_told_how_many_come_before():
    queue, first_may_go = Queue(), threading.Event()
    seen = {name: [] for name in ("first", "second", "third")}
    order = []

    def sweep(name: str) -> None:
        with queue.turn(seen[name].append):
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


def test_who_leaves_while_waiting_or_fails_is_not_waited_for():
    """As an interrupted page does: whatever it raises comes out of the call to `wait`."""
    queue = Queue()

    def leave(before: int) -> None:
        raise InterruptedError

    with queue.turn(pytest.fail), pytest.raises(InterruptedError), queue.turn(leave):
        pytest.fail("it was not its turn")
    with pytest.raises(ZeroDivisionError), queue.turn(pytest.fail):
        raise ZeroDivisionError
    with queue.turn(pytest.fail):
        pass
