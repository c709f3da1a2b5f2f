import socket
import threading
from pathlib import Path

from bench.contenders import BINDING, SESSION_IN_VIEW
from bench.gunicorn import Loaded
from bench.load import NO_RESPONSE, exchange, load, post
from bench.measurements import Row
from bench.rows import transfers


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


def test_the_goal_of_transfers_is_the_median_of_pairs_so_one_disturbed_load_changes_nothing() -> None:
    row = Row("transfers", "Transfers")
    pairs = [
        {contender: Loaded(1.0, {"201": count}, processor=0.1) for contender, count in counts.items()}
        for counts in (
            {BINDING: 99, SESSION_IN_VIEW: 100},
            {BINDING: 198, SESSION_IN_VIEW: 200},
            {BINDING: 990, SESSION_IN_VIEW: 100},
        )
    ]

    transfers.add(row, "postgresql", 4, pairs)

    assert row.goals[0].measured == 0.99
    assert row.notes == [
        "postgresql, 4 clients: 0.990 of with Session(engine), half of the 3 pairs 0.990 to 9.900."
    ]
