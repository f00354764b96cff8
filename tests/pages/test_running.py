"""What a page shows of a job on its way: of short work nothing, of long work little and seldom."""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from pages.parts import running
from pages.parts.jobs import Allowance, Job, Queue, State


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
    """`works` is the share of time that this thread computes."""

    def __init__(self):
        self.now = 0.0
        self.works = 1.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.now * self.works

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(running, "time", clock)
    monkeypatch.setattr("pages.parts.jobs.time", clock)
    monkeypatch.setattr(running, "_queue", Queue())
    return clock


@pytest.fixture
def session(monkeypatch, clock) -> SimpleNamespace:
    """Which may do as much as it likes, until a test says otherwise."""
    session = SimpleNamespace(
        free=Allowance(math.inf), account=Allowance(math.inf), began=0.0, holds=0
    )
    monkeypatch.setattr(running.sessions, "current", lambda: session)
    return session


@pytest.fixture
def published(monkeypatch, clock) -> list:
    """When the address was written."""
    published = []
    monkeypatch.setattr(running.address, "publish", lambda: published.append(clock.now))
    return published


@pytest.fixture
def page(monkeypatch, clock, session, published) -> Page:
    page = Page(clock)
    monkeypatch.setattr(running, "st", page)
    return page


def job_of(clock: Clock, seconds: float, step: float = 0.05, says: float = 0.0) -> Job:
    """Work that takes `seconds`, in steps, and `says` that it takes so many."""

    def steps():
        for number in range(round(seconds / step)):
            yield number * step / seconds
            clock.sleep(step)

    return Job(steps, says)


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
    sleep = clock.sleep
    for until, said in ((0.3, []), (2.0, ["Work that comes before yours: 1"])):
        other = running._queue.turn("another", pytest.fail)
        other.__enter__()
        end = clock.now + until

        def leave(seconds: float, end: float = end, other=other) -> None:
            sleep(seconds)
            if clock.now >= end and running._queue._has_turn.session == "another":
                other.__exit__(None, None, None)

        clock.sleep = leave
        assert running.drive(job_of(clock, 0.2))
        assert sorted({text for _, text in page.said}) == said
        assert page.buttons == ["Cancel"] * len(said)  # which also leaves the queue
        clock.sleep = sleep


def test_the_address_is_written_before_a_person_could_lose_anything_by_a_reload(
    clock, page, published
):
    assert running.drive(job_of(clock, 0.35)) and published == []
    began = clock.now
    assert running.drive(job_of(clock, 60))
    assert published == [pytest.approx(began + 0.4, abs=0.06)]


def test_what_a_page_begins_by_itself_is_bounded_all_together(clock, page, session):
    session.free = Allowance(15)
    one, other, asked = (job_of(clock, seconds, says=seconds) for seconds in (9, 8, 8))
    assert running.drive(one)
    assert not running.drive(other) and other.state is State.ASKS
    assert page.said[-1][1].startswith("This takes about 8 s")
    asked.go()
    assert running.drive(asked)  # a person wants it
    session.free = Allowance(15)  # that of the next run
    other.go()
    assert running.drive(other)


def test_what_takes_longer_than_was_thought_stops_where_it_would_have_asked(clock, page, session):
    session.free = Allowance(5)
    job = job_of(clock, 60, says=4)
    assert not running.drive(job) and job.state is State.STOPPED
    assert job.fraction == pytest.approx(5 / 60, abs=0.01)
    assert page.buttons[-1] == "Go on"
    job.go()
    assert running.drive(job)


def test_only_its_own_seconds_count_of_work(clock, page, session):
    clock.works = 0.1  # others have the processors
    session.free = Allowance(15)
    assert running.drive(job_of(clock, 60, says=4))
    assert session.free.left == pytest.approx(9, abs=0.1)


def test_a_session_has_so_many_seconds_an_hour_whoever_asked(clock, page, session, monkeypatch):
    told = []
    monkeypatch.setattr(running.html, "show", told.append)
    session.account = Allowance(60, 3600)
    job = job_of(clock, 80)
    job.go()
    assert not running.drive(job) and job.state is State.STOPPED
    job.go()
    assert not running.drive(job)
    assert "all the time that this server has for one person in an hour" in told[0]
    clock.sleep(3600)
    assert running.drive(job)


@pytest.mark.parametrize(
    ("job", "says", "label"),
    [
        (Job(iter, 23.4, 4.1e8), "This takes about 23 s and 410 MB of memory here.", "Run it"),
        (Job(iter, 130, 1.21e9), "This takes about 2 min 10 s and 1.2 GB of memory he", "Run it"),
    ],
)
def test_long_work_says_seconds_and_memory_before_it_begins(page, session, job, says, label):
    session.free = Allowance(15)
    assert not running.drive(job) and job.state is State.ASKS
    assert page.said[0][1].startswith(says) and page.buttons == [label]
