"""A hub on this machine that serves files as huggingface.co does, and misbehaves when told to.

    with StandInHub({"openai-community/gpt2": {"config.json": b"{}", ...}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.plan("model.safetensors", Answer(cut_after=1000), Answer(status=429))

Small files come from the hub itself, their git blob SHA-1 as ETag. `*.safetensors` are redirected
to a second server, "the CDN", whose ETag looks like a SHA-256 but is none of the content's, as on
the real one; SHA-256 and size of the content are in the headers of the redirect.
"""

import hashlib
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """How one request for the content of a file is answered; by default, well."""

    status: int = 200  # another one is sent with an empty body
    headers: dict[str, str] = field(default_factory=dict)  # sent in addition
    body: bytes | None = None  # sent instead of the file
    cut_after: int | None = None  # bytes of the body, then the connection is closed
    ignores_range: bool = False
    ignores_if_range: bool = False
    silent_for: float = 0.0  # seconds before the first byte
    pace: float = 0.0  # seconds before every 16 KiB


@dataclass(frozen=True)
class Request:
    server: str  # "hub" or "cdn"
    file: str
    headers: dict[str, str]


class StandInHub:
    """Serves `repos`: repository -> file name -> content, which may be changed meanwhile."""

    def __init__(self, repos: dict[str, dict[str, bytes]], announces_checksums: bool = True):
        self.repos = repos
        self.announces_checksums = announces_checksums
        self.requests: list[Request] = []
        self._plans: dict[str, list[Answer]] = defaultdict(list)
        self._servers = [_server(self, "hub"), _server(self, "cdn")]
        self.url, self.cdn_url = (f"http://127.0.0.1:{of.server_port}" for of in self._servers)

    def __enter__(self) -> "StandInHub":
        for server in self._servers:
            Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def plan(self, file: str, *answers: Answer) -> None:
        """Answer the next requests for the content of `file` so, and the ones after that well."""
        self._plans[file].extend(answers)

    def next_answer(self, file: str) -> Answer:
        plan = self._plans[file]
        return plan.pop(0) if plan else Answer()

    def content_requests(self, file: str) -> list[Request]:
        """The requests for `file` so far, without those that were redirected."""
        server = "cdn" if is_large(file) else "hub"
        return [of for of in self.requests if (of.server, of.file) == (server, file)]


def is_large(file: str) -> bool:
    return file.endswith(".safetensors")


def _server(hub: StandInHub, name: str) -> ThreadingHTTPServer:
    class Handler(_Handler):
        stand_in, server_name = hub, name

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInHub
    server_name: str

    def do_GET(self) -> None:
        repo, _, rest = urlsplit(self.path).path.strip("/").partition("/resolve/")
        file = rest.partition("/")[2]  # without the revision
        self.stand_in.requests.append(Request(self.server_name, file, dict(self.headers)))
        content = self.stand_in.repos.get(repo, {}).get(file)
        if content is None:
            self._send(404, {}, b"")
        elif is_large(file) and self.server_name == "hub":
            self._redirect(content)
        else:
            self._answer(content, self.stand_in.next_answer(file))

    def _redirect(self, content: bytes) -> None:
        headers = {"Location": self.stand_in.cdn_url + self.path, "ETag": '"of-the-redirect"'}
        if self.stand_in.announces_checksums:
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            headers["X-Linked-Size"] = str(len(content))
        self._send(302, headers, b"Found.")

    def _answer(self, content: bytes, answer: Answer) -> None:
        time.sleep(answer.silent_for)
        if answer.status != 200:
            self._send(answer.status, answer.headers, b"")
            return
        headers = dict(answer.headers)
        if self.server_name == "cdn":
            headers["ETag"] = f'"{hashlib.sha256(b"xet" + content).hexdigest()}"'
        elif self.stand_in.announces_checksums:
            blob = b"blob %d\0" % len(content) + content
            headers["ETag"] = f'"{hashlib.sha1(blob).hexdigest()}"'
        body = content if answer.body is None else answer.body
        start = self._range_start(headers.get("ETag"), answer)
        if start is None:
            self._send(200, headers, body, answer)
        elif start < len(body):
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._send(206, headers, body[start:], answer)
        else:
            self._send(416, headers | {"Content-Range": f"bytes */{len(body)}"}, b"")

    def _range_start(self, etag: str | None, answer: Answer) -> int | None:
        wanted = self.headers.get("Range")
        outdated = self.headers.get("If-Range") not in (None, etag)
        if wanted is None or answer.ignores_range or (outdated and not answer.ignores_if_range):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send(self, status: int, headers: dict, body: bytes, answer: Answer = Answer()) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = body[: answer.cut_after]
        with suppress(ConnectionError):  # the client may have gone
            for start in range(0, len(body), 1 << 14):
                time.sleep(answer.pace)
                self.wfile.write(body[start : start + (1 << 14)])

    def log_message(self, *_) -> None:
        """Keep the tests' output quiet."""
