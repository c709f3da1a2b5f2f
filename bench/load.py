"""`python -m bench.load`: clients that order transfers over keep-alive connections, for so many seconds.

A process of its own, so that it shares nothing with what it loads but the machine. It is told on its
standard input {"socket", "accounts", "clients", "seconds"}, and tells how many answers of which status came.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from typing import NamedTuple

ANSWER_WITHIN = 60
NO_ANSWER = "none"


def load(path: str, accounts: list[int], clients: int, seconds: float) -> dict[str, object]:
    """The answers of each status, and the seconds they took: one asked for in time is waited for."""
    statuses: Counter[str] = Counter()
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def client() -> None:
        counted: Counter[str] = Counter()
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.settimeout(ANSWER_WITHIN)
                connection.connect(path)
                start.wait(ANSWER_WITHIN)
                until = time.perf_counter() + seconds
                while time.perf_counter() < until:
                    counted[exchange(connection, _order(accounts)).status] += 1
            except OSError:
                counted[NO_ANSWER] += 1
        with lock:
            statuses.update(counted)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait(ANSWER_WITHIN)
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
    """The request, whole."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Answer(NamedTuple):
    """What came back."""

    status: str
    body: bytes


def exchange(connection: socket.socket, request: bytes) -> Answer:
    """One request and its answer, read to its end."""
    connection.sendall(request)
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _received(connection)
    head = answer[:end].lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(answer) < end + 4 + length:
        answer += _received(connection)
    return Answer(head.split(b" ", 2)[1].decode(), answer[end + 4 :])


def _received(connection: socket.socket) -> bytes:
    if not (received := connection.recv(65536)):
        message = "The server has closed the connection in the middle of an answer."
        raise ConnectionError(message)
    return received


if __name__ == "__main__":
    told = json.load(sys.stdin)
    print(json.dumps(load(told["socket"], told["accounts"], told["clients"], told["seconds"])))
