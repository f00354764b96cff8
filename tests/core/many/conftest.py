"""Commands are run here that would each take all processors, which others are using."""

import pytest

from core.views import many_files


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def no_pictures(monkeypatch):
    """Folders without: to draw them takes ten times as long as all the rest of a small survey."""
    monkeypatch.setattr(many_files, "_picture", lambda *_: b"")
