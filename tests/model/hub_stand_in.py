"""A small HTTP server that answers as the Hugging Face Hub does, of what huggingface_hub asks.

Commits, branches, files in git (ETag: their git hash) and large ones behind a redirect (X-Linked-
Etag: their SHA-256). It can refuse, be slow, break off, and send other bytes than it says.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
LARGE = (".pt", ".safetensors")


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class HubStandIn:
    """Its state, which a test may change while it runs."""

    commits: dict[str, dict[str, Files]] = field(default_factory=dict)
    references: dict[tuple[str, str], str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusal: tuple[int, dict[str, str], bytes] | None = None
    delay_s: float = 0.0
    released: Callable[[], bool] = lambda: True  # large bodies wait for it
    cut: bool = False
    damage: bool = False
    lost: set[str] = field(default_factory=set)
    url: str = ""
    cdn_url: str = ""

    def push(self, repository: str, files: Files, reference: str = "main") -> str:
        """A new commit."""
        digest = hashlib.sha1(repository.encode())
        for name, data in sorted(files.items()):
            digest.update(name.encode() + data)
        commit = digest.hexdigest()
        self.commits.setdefault(repository, {})[commit] = files
        self.references[repository, reference] = commit
        return commit

    def fetched(self) -> list[str]:
        """Bodies of files that were asked for, in order."""
        return [path for method, path in self.requests if method == "GET" and "/api/" not in path]

    def large(self, sha256: str) -> bytes | None:
        for commits in self.commits.values():
            for files in commits.values():
                for data in files.values():
                    if hashlib.sha256(data).hexdigest() == sha256:
                        return data
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[HubStandIn]

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        time.sleep(self.hub.delay_s)
        if self.hub.refusal is not None:
            status, headers, body = self.hub.refusal
            return self._send(status, headers, body)
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            return self._body(parts[1])
        if parts[:2] == ["api", "models"]:
            return self._listing("/".join(parts[2:4]), "/".join(parts[5:]) or "main")
        # huggingface_hub quotes the slashes of a revision; every file of these tests is at the top
        return self._resolve("/".join(parts[:2]), "/".join(parts[3:-1]), parts[-1])

    def _files(self, repository: str, revision: str) -> tuple[str, Files] | None:
        commits = self.hub.commits.get(repository)
        if commits is None:
            # The Hub does not tell strangers whether a repository is private or not there.
            self._send(401, {"X-Error-Message": "Invalid username or password."})
            return None
        commit = self.hub.references.get((repository, revision), revision)
        if commit not in commits:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, commits[commit]

    def _listing(self, repository: str, revision: str) -> None:
        found = self._files(repository, revision)
        if found is None:
            return
        siblings = [{"rfilename": name} for name in found[1]]
        told = {"id": repository, "modelId": repository, "sha": found[0], "siblings": siblings,
                "private": False, "tags": [], "downloads": 0, "likes": 0}  # fmt: skip
        self._send(200, {"Content-Type": "application/json"}, json.dumps(told).encode())

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        found = self._files(repository, revision)
        if found is None:
            return
        commit, files = found
        headers = {"X-Repo-Commit": commit}
        if name not in files or name in self.hub.lost:
            self._send(404, headers | {"X-Error-Code": "EntryNotFound"})
            return
        data = files[name]
        if not name.endswith(LARGE):
            self._send(200, headers | {"ETag": f'"{git_hash(data)}"'}, data)
            return
        sha256 = hashlib.sha256(data).hexdigest()
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
        self._send(302, headers | {"Location": f"{self.hub.cdn_url}/cdn/{sha256}"})

    def _body(self, sha256: str) -> None:
        data = self.hub.large(sha256)
        if data is None:
            return self._send(404)
        for _ in range(3000):
            if self.hub.released():
                break
            time.sleep(0.01)
        if self.hub.damage:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        start = int((self.headers["Range"] or "bytes=0-")[6:].split("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        return self._send(206 if start else 200, headers, data[start:])

    def _send(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            cut = self.hub.cut and self.path.startswith("/cdn/")
            self.wfile.write(body[: len(body) // 2] if cut else body)


class running:  # noqa: N801
    """``with running() as hub:`` the stand-in, at ``hub.url``."""

    def __enter__(self) -> HubStandIn:
        self.hub = HubStandIn()
        handler = type("Handler", (_Handler,), {"hub": self.hub})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.hub.url = f"http://127.0.0.1:{self.server.server_port}"
        # Another host, as the Hub's: a redirect on its own host would be followed by HEAD as well.
        self.hub.cdn_url = f"http://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        return self.hub

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
