"""A Docker engine that has no images, and that is as slow as a test wants."""

import contextlib
import json
import shutil
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "0"}


class _Answers(BaseHTTPRequestHandler):
    """Pulls that never end, after one event; no image is there."""

    protocol_version = "HTTP/1.1"
    server: "Engine"

    def do_GET(self) -> None:
        delay, self.server.delay = self.server.delay, 0  # As an engine that wakes up.
        time.sleep(delay)
        if self.path.endswith(("/version", "/_ping")):
            self._answer(200, VERSION)
        else:
            kind = "container" if "/containers/" in self.path else "image"
            self._answer(self.server.missing, {"message": f"no such {kind}"})

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        event = {"id": "a", "status": "Downloading", "progressDetail": {"current": 3e6, "total": 8e6}}
        for _ in range(self.server.events):
            self._chunk(json.dumps(event).encode())
        self.server.asked.set()
        if self.server.over.wait(60):
            self._chunk(b"")

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._write(content)

    def _chunk(self, content: bytes) -> None:
        self._write(b"%x\r\n%s\r\n" % (len(content), content))

    def _write(self, content: bytes) -> None:
        # A client that has given up has closed the socket.
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(content)
            self.wfile.flush()


class Engine(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, delay: float, events: int) -> None:
        super().__init__(str(path), _Answers)
        self.path, self.delay, self.events = path, delay, events
        self.missing = 404
        self.asked, self.over = threading.Event(), threading.Event()

    @property
    def host(self) -> str:
        return f"unix://{self.path}"


@contextlib.contextmanager
def engine(delay: float = 0, events: int = 1) -> Iterator[Engine]:
    # The path of a socket is limited to a hundred characters.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        with Engine(folder / "docker.sock", delay, events) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.05])
            thread.start()
            try:
                yield server
            finally:
                server.over.set()
                server.shutdown()
                thread.join()
    finally:
        shutil.rmtree(folder)
