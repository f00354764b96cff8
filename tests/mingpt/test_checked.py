"""A file of the cache is good, damaged or unknown, and is read only when it may have changed."""

import hashlib
import os

import pytest

from mingpt import checked

CONTENT = b"weights" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def reads(monkeypatch):
    """One entry for every time that a file is read whole."""
    begun, checksum_of = [], checked.checksum_of
    monkeypatch.setattr(checked, "checksum_of", lambda *of: begun.append(of) or checksum_of(*of))
    return begun


@pytest.mark.parametrize("checksum", [SHA, BLOB])
def test_a_file_is_read_once_and_then_only_after_a_change(path, checksum, reads):
    assert checked.state(path) == "unknown"
    assert checked.state(path, checksum) == "good"
    assert checked.state(path) == "good"  # by what was noted
    assert len(reads) == 1
    os.utime(path)
    assert checked.state(path) == "good"
    assert len(reads) == 2
    assert checked.state(path) == "good"
    assert len(reads) == 2


@pytest.mark.parametrize("known", [SHA, None])
def test_a_file_with_another_content_is_damaged(path, known):
    checked.note(path, SHA)
    was = path.stat()
    path.write_bytes(CONTENT.replace(b"w", b"W"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # as careful copying leaves it
    assert checked.state(path, known) == "damaged"
    path.write_bytes(CONTENT[:-1])
    assert checked.state(path, known) == "damaged"
    path.write_bytes(CONTENT)
    assert checked.state(path, known) == "good"


def test_another_size_is_damage_that_needs_no_reading(path, reads):
    checked.note(path, SHA)
    path.write_bytes(CONTENT + b"!")
    assert checked.state(path) == "damaged"
    assert not reads


@pytest.mark.parametrize(
    "note", [b"", b"{}", b"[1, 2, 3, 4]", b"[" * 9999, b'["abc", 1, 2, 3]', b"\xff", b"[[]]"]
)
def test_a_note_that_is_none_is_as_if_there_were_none(path, note):
    path.with_name(f"{path.name}.checked").write_bytes(note)
    assert checked.state(path) == "unknown"
    assert checked.state(path, SHA) == "good"


def test_what_is_forgotten_is_gone_with_its_note(path):
    checked.note(path, SHA)
    checked.forget(path)
    assert not list(path.parent.iterdir())
