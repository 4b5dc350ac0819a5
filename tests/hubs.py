"""A hub on loopback: what huggingface_hub asks of the real one, answered from folders."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "5" * 40


class Hub(ThreadingHTTPServer):
    """Serves the folder `root`/owner/model as the model owner/model."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.requests: list[str] = []
        """Each as `METHOD path`, with the range of bytes if one was asked for."""
        self.break_after: int | None = None
        """So many bytes of a file are sent, then the connection breaks."""
        self.failing = ""
        """Files of this name are there, and cannot be had."""
        self.gated = False

    def environment(self, home: Path) -> dict[str, str]:
        """For a process that is to ask this hub, and to keep what it gets in `home`."""
        endpoint = f"http://127.0.0.1:{self.server_port}"
        return {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def hub_of(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    yield hub
    hub.shutdown()
    hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(" ".join(filter(None, (self.command, path, self.headers.get("Range")))))
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        folder = self.server.root.joinpath(*parts[:2])
        if self.server.gated and "resolve" in parts:
            self._refuse(403, "GatedRepo")
        elif not folder.is_dir():
            self._refuse(401, "RepoNotFound")
        elif self.command == "GET" and parts[-1] == self.server.failing:
            self._refuse(500, "Broken")
        elif "resolve" in parts:
            self._send_file(folder.joinpath(*parts[4:]))
        elif "tree" in parts:
            self._send_json([self._entry(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()])
        else:
            self._send_json({"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": []})

    def _entry(self, folder: Path, file: Path) -> dict[str, object]:
        name = str(file.relative_to(folder))
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": _etag(file)}

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_file(self, file: Path) -> None:
        if not file.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data = file.read_bytes()
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, data[start:], headers)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            whole = self.server.break_after is None or len(body) <= self.server.break_after
            self.wfile.write(body if whole else body[: self.server.break_after])

    def log_message(self, *_: object) -> None:
        pass


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
