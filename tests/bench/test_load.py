import socket
import threading
from pathlib import Path

from bench.load import NO_RESPONSE, exchange, load, post


def answering(server: socket.socket, *answers: bytes) -> threading.Thread:
    """Answer the requests of one connection in turn, then close it."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            for answer in answers:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_response_is_read_to_its_end_from_any_parts() -> None:
    # In a socket of this type, each send is received as one part.
    server, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server, client:
        for part in b"HTTP/1.1 201 CREATED\r\nContent-", b"Length: 3\r\n\r\n", b"t", b"ea":
            server.send(part)

        assert exchange(client, post("/", {})) == ("201", b"tea")


def test_every_response_is_counted_and_so_is_a_closed_connection(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(path, family=socket.AF_UNIX) as server:
        thread = answering(
            server,
            b"HTTP/1.1 201 CREATED\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 503 UNAVAILABLE\r\nContent-Length: 0\r\n\r\n",
        )
        loaded = load(path, [1, 2], clients=1, seconds=5)
        thread.join()

    assert loaded["statuses"] == {"201": 1, "503": 1, NO_RESPONSE: 1}
