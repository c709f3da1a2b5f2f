"""`python -m bench.load`: send transfers from several clients over keep-alive connections.

It reads {"socket", "accounts", "clients", "seconds"} from its standard input, and writes {"seconds",
"statuses"}: how long it took, and how many responses had which status. It is a process of its own, so that
it shares nothing with the server but the machine.
"""

import json
import random
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from typing import NamedTuple

RESPONSE_WITHIN = 60
NO_RESPONSE = "none"


def load(path: str, accounts: list[int], clients: int, seconds: float) -> dict[str, object]:
    """Return the number of responses by status, and the seconds of the measurement.

    The seconds include the wait for the last responses.
    """
    statuses: Counter[str] = Counter()
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def client() -> None:
        counted: Counter[str] = Counter()
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.settimeout(RESPONSE_WITHIN)
                connection.connect(path)
                start.wait(RESPONSE_WITHIN)
                until = time.perf_counter() + seconds
                while time.perf_counter() < until:
                    counted[exchange(connection, _order(accounts)).status] += 1
            except OSError:
                counted[NO_RESPONSE] += 1
        with lock:
            statuses.update(counted)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait(RESPONSE_WITHIN)
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    return {"seconds": taken, "statuses": statuses}


def _order(accounts: list[int]) -> bytes:
    source, target = random.sample(accounts, 2)
    order = {
        "from_account_id": source,
        "to_account_id": target,
        "amount": "0.01",
        "note": "",
        "idempotency_key": secrets.token_hex(8),
    }
    return post("/api/transfers", order)


def post(path: str, body: object) -> bytes:
    """Return the bytes of a POST request with a JSON body."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def get(path: str) -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


class Response(NamedTuple):
    """A response, without its headers."""

    status: str
    body: bytes


def exchange(connection: socket.socket, request: bytes) -> Response:
    """Send a request, and read its response to the end."""
    connection.sendall(request)
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _received(connection)
    head = answer[:end].lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(answer) < end + 4 + length:
        answer += _received(connection)
    return Response(head.split(b" ", 2)[1].decode(), answer[end + 4 :])


def _received(connection: socket.socket) -> bytes:
    if not (received := connection.recv(65536)):
        message = "The server closed the connection before the end of a response."
        raise ConnectionError(message)
    return received


if __name__ == "__main__":
    order = json.load(sys.stdin)
    print(json.dumps(load(order["socket"], order["accounts"], order["clients"], order["seconds"])))
