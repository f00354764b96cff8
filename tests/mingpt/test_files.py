"""Files that anybody may have made are read, or refused, and keep nobody waiting."""

import os
from pathlib import Path

import pytest

from mingpt import files
from mingpt.files import Unusable


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[" * 100_000, "it is nested too deeply"),
        (b"[" * 60 + b"]" * 60, "it is nested too deeply"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "it is nested too deeply"),
        (b'{"x": {"b": 1, "a": 1, "b": 2}}', "it says 'b' twice"),
        (b"\xff", "can't decode"),
        (b"1" * 5000, "integer string conversion"),
    ],
)
def test_json_that_nobody_should_look_through_is_none(content, text):
    with pytest.raises(ValueError, match=text):
        files.parsed(content)


def test_json_is_what_it_says():
    assert files.parsed(b'{"a": [1, {"a": null}], "b": "\\ud800"}') == {
        "a": [1, {"a": None}],
        "b": "\ud800",
    }
    assert files.parsed(b"[" * 50 + b"]" * 50)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in files here")
def test_what_is_no_file_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to("round")
    for name in ("pipe", "round", ".", "nowhere", "\x00", "\ud800", "a" * 300):
        assert files.size_of(tmp_path / name) is None
        with pytest.raises((OSError, ValueError)):
            files.read(tmp_path / name)
    with pytest.raises(OSError):
        files.read(Path("/dev/zero"))


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # of which nothing is on the disk
    with pytest.raises(ValueError, match="more than 33,554,432 bytes"):
        files.read(path)


def test_an_error_can_be_shown_whatever_it_quotes():
    said = str(Unusable("the tensor \ud800" + "x" * 10_000))
    said.encode("utf-8")
    assert said.startswith("the tensor \\ud800xxx") and len(said) < 2000


def test_what_is_written_beside_takes_the_place_of_what_was_there_once_it_is_whole(tmp_path):
    path = tmp_path / "kept"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), files.beside(path) as made:
        made.write_text("half")
        raise KeyboardInterrupt
    assert [(of.name, of.read_text()) for of in tmp_path.iterdir()] == [("kept", "before")]
    with files.beside(path) as made:
        made.write_text("after")
        assert path.read_text() == "before"
    assert [(of.name, of.read_text()) for of in tmp_path.iterdir()] == [("kept", "after")]
