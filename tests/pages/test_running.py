"""What a page shows of a job on its way: of short work nothing, of long work little and seldom."""

from contextlib import nullcontext

import pytest

from pages.parts import running
from pages.parts.jobs import Job, Queue, State


class Page:
    """Stands for Streamlit and for a place on its page; keeps what was said, and when."""

    def __init__(self, clock):
        self.clock, self.said, self.buttons = clock, [], []

    def empty(self):
        return self

    def container(self, **_):
        return nullcontext()

    def progress(self, fraction: float, text: str) -> None:
        self.said.append((self.clock.now, text))

    def markdown(self, text: str) -> None:
        self.said.append((self.clock.now, text))

    def button(self, label: str, *_, **__) -> None:
        self.buttons.append(label)


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(running, "time", clock)
    monkeypatch.setattr("pages.parts.jobs.time", clock)
    monkeypatch.setattr(running, "_queue", Queue)
    return clock


@pytest.fixture
def page(monkeypatch, clock) -> Page:
    page = Page(clock)
    monkeypatch.setattr(running, "st", page)
    return page


def job_of(clock: Clock, seconds: float, step: float = 0.05) -> Job:
    """Work that takes `seconds`, in steps."""

    def steps():
        for number in range(round(seconds / step)):
            yield number * step / seconds
            clock.sleep(step)

    return Job(steps)


def test_of_short_work_nothing_is_shown(clock, page):
    assert running.drive(job_of(clock, 0.35), pytest.fail)
    assert page.said == [] and page.buttons == []


def test_long_work_can_be_cancelled_and_says_what_time_is_left(clock, page):
    job = job_of(clock, 60)
    assert running.drive(job)
    assert page.buttons == ["Cancel"]
    first, text = page.said[0]
    assert first == pytest.approx(0.4, abs=0.06) and text == "1%, 1 min 0 s left"
    half = next(text for at, text in page.said if at > 30)
    assert half == "50%, 30 s left"
    pauses = [later - at for (at, _), (later, _) in zip(page.said, page.said[1:], strict=False)]
    assert max(pauses) < 0.3  # after which a click on Cancel is heard


def test_work_that_goes_on_counts_only_its_own_time(clock, page):
    job = job_of(clock, 60)
    with job.driven():
        while job.fraction < 0.5:
            job.advance()
    clock.sleep(1000)
    assert running.drive(job)
    assert page.said[0][1] == "51%, 30 s left"


def test_drawing_a_map_takes_little_of_the_time_and_none_is_drawn_just_before_the_whole(
    clock, page
):
    at = []

    def draw(fraction: float) -> None:
        at.append(clock.now)
        clock.sleep(0.1)

    assert running.drive(job_of(clock, 7.9), draw) and at == []
    began = clock.now
    assert running.drive(job_of(clock, 100), draw)
    assert at[0] - began == pytest.approx(4, abs=0.25)
    assert 8 <= len(at) <= 10 and clock.now - at[-1] > 4
    assert 0.1 * len(at) <= 0.01 * (clock.now - began)  # ours; the browser's is ten times that


def test_who_waits_for_others_is_told_only_if_that_takes_long(clock, page, monkeypatch):
    def busy_until(end: float) -> Queue:
        queue = Queue()
        other = object()
        queue._waiting.append(other)
        sleep = clock.sleep

        def leave(seconds: float) -> None:
            sleep(seconds)
            if clock.now >= end and other in queue._waiting:
                queue._waiting.remove(other)

        clock.sleep = leave
        return queue

    for until, said in ((0.3, []), (2.0, ["Work that comes before yours: 1"])):
        queue = busy_until(clock.now + until)
        monkeypatch.setattr(running, "_queue", lambda queue=queue: queue)
        assert running.drive(job_of(clock, 0.2))
        assert sorted({text for _, text in page.said}) == said


@pytest.mark.parametrize(
    ("job", "says", "label"),
    [
        (Job(iter, 23.4, 4.1e8), "This takes about 23 s and 410 MB of memory here.", "Run it"),
        (Job(iter, 130, 1.21e9), "This takes about 2 min 10 s and 1.2 GB of memory he", "Run it"),
    ],
)
def test_long_work_says_seconds_and_memory_before_it_begins(clock, page, job, says, label):
    assert not running.drive(job) and job.state is State.ASKS
    assert page.said[0][1].startswith(says) and page.buttons == [label]
