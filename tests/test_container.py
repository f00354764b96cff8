"""What the Dockerfile runs, without Docker: the files it copies, which nobody may write, the user
who may do nothing, its command and its check of health."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from core.presets import PRESETS
from tests.tab import Tab

ROOT = Path(__file__).parents[1]
# Root itself then may write no more than the modes of files say.
WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--no-new-privs"]
WITHOUT_PRIVILEGES *= os.getuid() == 0
FILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def command(line: str, port: int) -> list[str]:
    """That of the Dockerfile's ENTRYPOINT or HEALTHCHECK."""
    (found,) = re.findall(rf"^{line}\b[^\[]*(\[.*\])\s*$", FILE, re.MULTILINE)
    python, *rest = json.loads(found)
    assert python == "python"
    return [sys.executable, *(part.replace("8501", str(port)) for part in rest)]


@pytest.fixture(params=["", "patchboard"], ids=["", "behind a proxy"])
def container(request, tmp_path) -> Iterator[tuple[str, Path, callable]]:
    """Its address, its folder, and `healthy()`."""
    app, cache, scratch = tmp_path / "app", tmp_path / "cache", tmp_path / "scratch"
    for copied, to in re.findall(r"^COPY (.+) (\S+)$", FILE, re.MULTILINE):
        for name in copied.split():
            source, place = ROOT / name, app / to / ("" if source_is_folder(name) else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, place)
    for folder in (cache, scratch):
        folder.mkdir()
    for path in (app, *app.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = dict(re.findall(r"(PATCHBOARD_\w+|PYTHON\w+)=(\S+)", FILE))
    own = {"HOME": str(scratch), "PATCHBOARD_CACHE": str(cache), "MPLCONFIGDIR": str(scratch)}
    own |= {"STREAMLIT_SERVER_BASE_URL_PATH": request.param, "PATCHBOARD_THREADS": "1"}
    own |= {"PATCHBOARD_STATUS": "1"}  # seconds: no test waits for a minute
    environment = {"PATH": os.environ["PATH"]} | said | own
    log = (scratch / "log").open("w")
    entry = [*WITHOUT_PRIVILEGES, *command("ENTRYPOINT", port)]
    server = subprocess.Popen(entry, cwd=app, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def healthy() -> bool:
        check = command("HEALTHCHECK", port)
        return not subprocess.run(check, env=environment, capture_output=True).returncode

    try:
        for _ in range(120):
            if healthy():
                break
            assert server.poll() is None, (scratch / "log").read_text()
            sleep(0.2)
        yield f"http://localhost:{port}/{request.param}".rstrip("/"), app, healthy
    finally:
        server.terminate()
        server.wait(30)
    assert "Traceback" not in (scratch / "log").read_text()


def source_is_folder(name: str) -> bool:
    return (ROOT / name).is_dir()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv on the PATH")
def test_the_container_answers_without_writing_to_its_own_folder(container):
    address, app, healthy = container
    own = app / "mine"
    refused = subprocess.run([*WITHOUT_PRIVILEGES, "touch", own], capture_output=True)
    assert refused.returncode and not own.exists()
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}
    with Tab(address, **PRESETS[1].experiment("teaching").to_query()) as tab:
        assert not tab.exceptions
        assert any(text.startswith('{"data":') for text in tab.strings)  # the map
        assert healthy()
        log, told = app.parent / "scratch" / "log", " patchboard: sessions 1, queue "
        for _ in range(100):  # who keeps house begins with the first visit
            if told in log.read_text():
                break
            sleep(0.2)
        assert told in log.read_text()
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before
