from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from tests.stack.conftest import Stack

RUNNING = ["app", "postgresql", "mysql"]
SERVERS = ["postgresql", "mysql"]


@pytest.mark.parametrize("service", RUNNING)
def test_no_process_is_root(stack: Stack, service: str) -> None:
    uids = stack.execute(service, "cat /proc/[0-9]*/status | grep ^Uid:").split()

    assert "0" not in uids
    assert "Uid:" in uids


@pytest.mark.parametrize("service", RUNNING)
def test_no_process_has_or_can_gain_a_capability(stack: Stack, service: str) -> None:
    lines = stack.execute(service, "grep -E '^(Cap|NoNew)' /proc/1/status").splitlines()
    status = dict(line.split(":\t") for line in lines)

    assert status.pop("NoNewPrivs") == "1"
    assert set(status.values()) == {"0" * 16}


@pytest.mark.parametrize("service", RUNNING)
def test_the_root_file_system_is_read_only(stack: Stack, service: str) -> None:
    options = stack.execute(service, "grep ' / ' /proc/mounts").split()[3]

    assert "ro" in options.split(",")


@pytest.mark.parametrize("service", [*RUNNING, "passwords"])
def test_memory_and_processes_are_limited(stack: Stack, service: str) -> None:
    limits = stack.containers()[service]["HostConfig"]

    assert limits["Memory"] > 0
    assert limits["PidsLimit"] > 0


def test_ports_are_open_to_this_machine_alone(stack: Stack) -> None:
    published = {}
    for service, container in stack.containers().items():
        for bindings in container["NetworkSettings"]["Ports"].values():
            for binding in bindings or []:
                published[service, binding["HostIp"]] = int(binding["HostPort"])

    assert published == {(service, "127.0.0.1"): port for service, port in stack.ports.items()}


@pytest.mark.parametrize("service", RUNNING)
def test_only_named_volumes_are_written_to(stack: Stack, service: str) -> None:
    written = [mount["Name"] for mount in stack.containers()[service]["Mounts"] if mount["RW"]]

    data = "sqlite" if service == "app" else service
    assert written == [f"{stack.project}_{data}-data"]


@pytest.mark.parametrize("backend", SERVERS)
def test_a_password_is_random_and_the_baked_one_is_refused(stack: Stack, backend: str) -> None:
    assert len(stack.password(backend)) >= 32
    with stack.engine(backend, stack.password(backend)).connect():
        pass
    with pytest.raises(OperationalError):
        stack.engine(backend, "testbed").connect()


@pytest.mark.parametrize("service", SERVERS)
def test_a_server_sees_no_password_but_its_own(stack: Stack, service: str) -> None:
    assert stack.execute(service, "ls /run/passwords").split() == [service]


@pytest.mark.parametrize("backend", SERVERS)
def test_passwords_are_nowhere_but_in_their_files(stack: Stack, backend: str) -> None:
    containers = stack.containers()
    seen_by_a_neighbour = "cat /proc/[0-9]*/cmdline /proc/1/environ | tr '\\0' ' '"
    images = {container["Image"] for container in containers.values()}
    told = [
        json.dumps(containers),
        stack.compose("logs"),
        stack.compose("config"),
        stack.docker("image", "inspect", *images),
        *(stack.docker("history", "--no-trunc", image) for image in images),
        *(stack.execute(service, seen_by_a_neighbour) for service in RUNNING),
    ]

    assert not [where for where in told if stack.password(backend) in where]
