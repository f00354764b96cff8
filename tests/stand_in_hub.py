"""A hub on this machine that serves files as huggingface.co does, and misbehaves when told to.

    with StandInHub({"openai-community/gpt2": {"config.json": b"{}", ...}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.plan("model.safetensors", Answer(cut_after=1000), Answer(status=429))

Repositories whose revisions matter are `hub.branches`: repository -> branch -> file -> content. Of
them it also tells the files of a revision, and the revisions, as the hub's API does.

Small files come from the hub itself, their git blob SHA-1 as ETag. `*.safetensors` are redirected
to a second server, "the CDN", whose ETag looks like a SHA-256 but is none of the content's, as on
the real one; SHA-256 and size of the content are in the headers of the redirect.
"""

import hashlib
import json
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

REPO = "some-one/Tiny.GPT"  # of no one


@dataclass(frozen=True)
class Answer:
    """How one request for the content of a file is answered; by default, well."""

    status: int = 200  # another one is sent with an empty body
    headers: dict[str, str | None] = field(default_factory=dict)  # sent in addition; None: left out
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
        self.branches: dict[str, dict[str, dict[str, bytes]]] = {}
        self.refuses: dict[str, tuple[int, str]] = {}  # repository -> status, the hub's own word
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

    def commit(self, repo: str, branch: str) -> str:
        """Every branch has one of its own, which changes with its files."""
        said = repr((repo, branch, sorted(self.branches[repo][branch].items())))
        return hashlib.sha1(said.encode()).hexdigest()

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        """Those of a branch or a commit."""
        for branch, files in self.branches.get(repo, {}).items():
            if revision in (branch, self.commit(repo, branch)):
                return files
        return self.repos.get(repo)

    def says(self, repo: str, question: str) -> dict | None:
        """What the API answers, if anything."""
        kind, _, revision = question.partition("/")
        branches = self.branches.get(repo, {})
        if kind == "refs" and branches:
            heads = [{"name": b, "targetCommit": self.commit(repo, b)} for b in branches]
            return {"branches": heads, "converts": [], "tags": []}
        for branch, files in branches.items():
            if unquote(revision) in (branch, self.commit(repo, branch)):
                siblings = [_sibling(name, content) for name, content in files.items()]
                return {"id": repo, "sha": self.commit(repo, branch), "siblings": siblings}
        return None

    def plan(self, file: str, *answers: Answer) -> None:
        """Answer the next requests for the content of `file` so, and the ones after that well."""
        self._plans[file].extend(answers)

    def forget_plans(self) -> None:
        self._plans.clear()

    def next_answer(self, file: str) -> Answer:
        plan = self._plans[file]
        return plan.pop(0) if plan else Answer()

    def content_requests(self, file: str) -> list[Request]:
        """The requests for `file` so far, without those that were redirected."""
        server = "cdn" if is_large(file) else "hub"
        return [of for of in self.requests if (of.server, of.file) == (server, file)]


def is_large(file: str) -> bool:
    return file.endswith(".safetensors")


def git_blob(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sibling(name: str, content: bytes) -> dict:
    """A file as the API lists it."""
    row = {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return row | ({"blobId": git_blob(b"a pointer"), "lfs": large} if is_large(name) else {})


def _server(hub: StandInHub, name: str) -> ThreadingHTTPServer:
    class Handler(_Handler):
        stand_in, server_name = hub, name

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInHub
    server_name: str

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.strip("/")
        if path.startswith("api/models/"):
            owner, name, question = path.removeprefix("api/models/").split("/", 2)
            self._tell(f"{owner}/{name}", question)
            return
        repo, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        self.stand_in.requests.append(Request(self.server_name, file, dict(self.headers)))
        content = (self.stand_in.files(repo, unquote(revision)) or {}).get(file)
        if repo in self.stand_in.refuses:
            status, code = self.stand_in.refuses[repo]
            self._send(status, {"X-Error-Code": code} if code else {}, b"")
        elif content is None:
            self._send(404, {}, b"")
        elif is_large(file) and self.server_name == "hub":
            self._redirect(content)
        else:
            self._answer(content, self.stand_in.next_answer(file))

    def _tell(self, repo: str, question: str) -> None:
        """Answer a question of the API; it is recorded as the file "api/..."."""
        self.stand_in.requests.append(Request("hub", f"api/{question}", dict(self.headers)))
        answer = self.stand_in.says(repo, question)
        status, code = self.stand_in.refuses.get(repo, (404, "RevisionNotFound"))
        if repo in self.stand_in.refuses or answer is None:
            self._send(status, {"X-Error-Code": code} if code else {}, b"")
        else:
            self._send(200, {}, json.dumps(answer).encode())

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
        headers = {}
        if self.server_name == "cdn":
            headers["ETag"] = f'"{hashlib.sha256(b"xet" + content).hexdigest()}"'
        elif self.stand_in.announces_checksums:
            headers["ETag"] = f'"{git_blob(content)}"'
        headers |= answer.headers
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
            if value is not None:
                self.send_header(name, value.encode("utf-8").decode("latin-1"))
        self.end_headers()
        body = body[: answer.cut_after]
        with suppress(ConnectionError):  # the client may have gone
            for start in range(0, len(body), 1 << 14):
                time.sleep(answer.pace)
                self.wfile.write(body[start : start + (1 << 14)])

    def log_message(self, *_) -> None:
        """Keep the tests' output quiet."""
