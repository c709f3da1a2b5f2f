import json

import pytest
from sqlalchemy.exc import OperationalError

from tests.stack.stack import SERVERS, Stack

RUNNING = ["app", *SERVERS]
# Their own modules test those of profiles.
OPTIONAL = ["mariadb", "first", "second", "gate"]
FOLDERS = ("/", "/etc", "/usr", "/var/log", "/root")


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
    assert set(status) == {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    assert set(status.values()) == {"0" * 16}


@pytest.mark.parametrize("service", [*RUNNING, "passwords"])
def test_the_engine_has_the_security_options(stack: Stack, service: str) -> None:
    options = stack.containers()[service]["HostConfig"]

    assert options["ReadonlyRootfs"]
    assert options["CapDrop"] == ["ALL"]
    assert not options["CapAdd"]
    assert options["SecurityOpt"] == ["no-new-privileges:true"]
    assert not options["Privileged"]
    assert not options["PidMode"]
    assert options["Memory"] > 0
    assert options["PidsLimit"] > 0


def test_every_service_is_tested(stack: Stack) -> None:
    config = json.loads(stack.compose("--profile", "*", "config", "--format", "json"))
    soft = [
        name
        for name, service in config["services"].items()
        if not (
            service.get("read_only")
            and service.get("cap_drop") == ["ALL"]
            and service.get("security_opt") == ["no-new-privileges:true"]
            and int(service.get("mem_limit", 0)) > 0
            and service.get("pids_limit", 0) > 0
        )
    ]

    assert soft == []
    assert set(config["services"]) == {*RUNNING, *OPTIONAL, "passwords", "tests"}


@pytest.mark.parametrize("service", RUNNING)
def test_the_root_file_system_is_read_only(stack: Stack, service: str) -> None:
    attempts = f"for folder in {' '.join(FOLDERS)}; do touch $folder/written || echo refused; done"
    mount, *answers = stack.execute(service, f"grep ' / ' /proc/mounts; {attempts}").splitlines()

    assert "ro" in mount.split()[3].split(",")
    assert answers == ["refused"] * len(FOLDERS)


@pytest.mark.parametrize("service", RUNNING)
def test_only_named_volumes_and_memory_are_writable(stack: Stack, service: str) -> None:
    written = [mount["Name"] for mount in stack.containers()[service]["Mounts"] if mount["RW"]]
    bounded = stack.containers()[service]["HostConfig"]["Tmpfs"].values()

    data = "sqlite" if service == "app" else service
    assert written == [f"{stack.project}_{data}-data"]
    assert all("size=" in options for options in bounded)


def test_ports_are_published_on_the_loopback_address_only(stack: Stack) -> None:
    published = {}
    for service, container in stack.containers().items():
        for bindings in container["NetworkSettings"]["Ports"].values():
            for binding in bindings or []:
                published[service, binding["HostIp"]] = int(binding["HostPort"])

    assert published == {(service, "127.0.0.1"): port for service, port in stack.ports.items()}


def test_the_containers_have_a_network_of_their_own(stack: Stack) -> None:
    networks = {
        service: list(container["NetworkSettings"]["Networks"])
        for service, container in stack.containers().items()
    }
    (network,) = json.loads(stack.docker("network", "inspect", f"{stack.project}_ledger"))

    assert networks.pop("passwords") == ["none"]
    assert networks == {service: [f"{stack.project}_ledger"] for service in RUNNING}
    assert len(network["Containers"]) == len(RUNNING)
    # Their addresses are private: hosts outside could not answer.
    assert network["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"


@pytest.mark.parametrize("backend", SERVERS)
def test_a_password_is_random_and_the_baked_one_is_refused(stack: Stack, backend: str) -> None:
    assert len(stack.password(backend)) >= 32
    with stack.engine(backend, stack.password(backend)).connect():
        pass
    with pytest.raises(OperationalError):
        stack.engine(backend, "testbed").connect()


@pytest.mark.parametrize("service", SERVERS)
def test_a_server_can_read_only_its_own_password(stack: Stack, service: str) -> None:
    assert stack.execute(service, "ls /run/passwords").split() == [service]


@pytest.mark.parametrize("service", RUNNING)
def test_password_files_cannot_be_written_to(stack: Stack, service: str) -> None:
    attempt = "for file in /run/passwords/*/password; do test -w $file && echo $file; done; echo asked"

    assert stack.execute(service, attempt) == "asked\n"


@pytest.mark.parametrize("backend", SERVERS)
def test_passwords_are_only_in_their_files(stack: Stack, backend: str) -> None:
    password, containers = stack.password(backend), stack.containers()
    seen_by_a_neighbour = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '"
    images = {container["Image"] for container in containers.values()}
    places = [
        json.dumps(containers),
        stack.compose("logs"),
        stack.compose("config"),
        stack.docker("image", "inspect", *images),
        *(stack.docker("history", "--no-trunc", image) for image in images),
        *(stack.execute(service, seen_by_a_neighbour) for service in RUNNING),
    ]

    assert not [where for where in places if password in where]
