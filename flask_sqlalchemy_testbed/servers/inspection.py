"""Inspect images and containers without the docker package, whose import takes 0.2 s.

Only an engine behind a Unix socket of this machine is asked, and only if nothing configures how its
containers are reached: testcontainers knows the other cases.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

SCHEME = "unix://"
DEFAULT = f"{SCHEME}/var/run/docker.sock"
# A busy engine may need longer; then the package asks it again.
ANSWER_WITHIN = 2.0
# By these testcontainers or Docker choose another engine, or another way to its containers.
VARIABLES = (
    "TESTCONTAINERS_CONNECTION_MODE",
    "TESTCONTAINERS_HOST_OVERRIDE",
    "TC_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
)
PROPERTIES, CONFIGURATION, CONTEXT = ".testcontainers.properties", ".docker/config.json", "currentContext"
# A process in a container does not reach the ports that the engine publishes on its own loopback.
IN_CONTAINER = Path("/.dockerenv")
LOOPBACK = "127.0.0.1"


def image(name: str) -> dict[str, Any] | None:
    """Return the engine's description of an image; None if there is none, or no engine can be asked.

    Args:
        name: Its name with the tag.
    """
    return _get(f"/images/{name}/json")


def container(name: str) -> dict[str, Any] | None:
    """Return the engine's description of a container; None if there is none, or no engine can be asked.

    Args:
        name: Its name or id.
    """
    return _get(f"/containers/{name}/json")


def published(description: dict[str, Any], port: int) -> tuple[str, int] | None:
    """Return the address by which this process reaches a port of a container; None if it is not known.

    Args:
        description: The result of `container`.
        port: The port in the container.
    """
    bindings = description["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
    for binding in bindings:
        host = str(binding["HostIp"])
        if host not in {"", "0.0.0.0", "::"} and not (host == LOOPBACK and IN_CONTAINER.exists()):  # noqa: S104 - compared
            return host, int(binding["HostPort"])
    return None


def capabilities_at(address: tuple[str, int]) -> frozenset[str]:
    """Return the capabilities that a started container adds to the backend's.

    Args:
        address: Its address on the engine's own network, and the port of its server.
    """
    try:
        # The network of an engine on another machine, or in a virtual one, cannot be reached.
        socket.create_connection(address, timeout=0.5).close()
    except OSError:
        return frozenset({"container", "throwaway"})
    return frozenset({"container", "throwaway", "routed"})


def _get(path: str) -> dict[str, Any] | None:
    address = os.environ.get("DOCKER_HOST") or DEFAULT
    if not address.startswith(SCHEME) or _is_configured():
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_WITHIN)
            connection.connect(address.removeprefix(SCHEME))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            # With HTTP 1.0 the answer ends with the connection, and comes in one piece.
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return json.loads(body) if head.split()[1:2] == [b"200"] else None
    except (OSError, ValueError):
        return None


def _is_configured() -> bool:
    home = Path.home()
    if any(os.environ.get(name) for name in VARIABLES) or (home / PROPERTIES).exists():
        return True
    try:
        return CONTEXT in (home / CONFIGURATION).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
