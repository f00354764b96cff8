"""What is written is whole, or what was there before is."""

import errno
import io
import os
import stat
from pathlib import Path

import pytest

from core import output
from core.errors import UserError

GOOD = "what took an hour to compute"


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(GOOD)
    return path


def breaks_off(error: BaseException):
    """A disk, or a person, that lets through the first bytes of a file."""

    class File(io.BytesIO):
        def write(self, content):
            raise error

    return lambda *_: File()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["open", "replace"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_file_that_cannot_be_written_is_the_one_it_was(path, monkeypatch, fails, error):
    def fail(*_):
        raise error

    write = breaks_off(error) if fails == "open" else fail
    with monkeypatch.context() as broken, pytest.raises((UserError, type(error))) as raised:
        broken.setattr(Path, fails, write)
        output.write(path, "new")
    if error is FULL:
        assert str(raised.value) == f"cannot write {path}: No space left on device."
    assert path.read_text() == GOOD
    assert list(path.parent.iterdir()) == [path]
    output.write(str(path), "new")
    assert path.read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "setrlimit") and os.name == "nt", reason="POSIX only")
def test_a_real_limit_of_the_disk_leaves_the_file_that_was_there(path):
    """Of the system's own making: a process that may write a thousand bytes."""
    pid = os.fork()
    if not pid:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            output.write(path, "x" * 100_000)
        except UserError as error:
            os._exit(7 if "File too large" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert path.read_text() == GOOD
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_file_keeps_who_may_read_it(path, tmp_path):
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    output.write(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_may_be_read_by_whom_the_system_lets(tmp_path):
    (tmp_path / "usual").touch()
    output.write(tmp_path / "ours", b"new")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in files here")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output.write(pipe, "through it")
    assert os.read(reader, 100) == b"through it"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
