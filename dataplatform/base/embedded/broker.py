"""A broker as a part of the platform, on a loopback port: Apache Kafka where it is installed, else a light stand-in.

Apache Kafka, one node in KRaft mode, where `KAFKA_HOME` and Java 17 are there: command lines and settings. One Metadata
request over a plain socket, to see whether a Kafka broker serves.

It asks as a client would, without a client's retries, threads and log lines. The format is that of the protocol guide
(https://kafka.apache.org/protocol, Metadata, version 1), understood by every broker since Kafka 0.10.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from attrs import frozen

from dataplatform.base.agent import Context
from dataplatform.base.embedded.datadir import DataDirectory
from dataplatform.base.embedded.process import LOCK, Program, lock_is_held
from dataplatform.base.embedded.server import Progress, ServerAgent
from dataplatform.errors import Permanent, Transient

__all__ = ["EmbeddedBroker", "Kafka", "broker_address", "broker_kind", "broker_serves", "find_kafka"]

JAVA_NEEDED = 17
JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=kafka
num.partitions=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
"""


@frozen
class Kafka:
    """An installed Kafka and the Java to run it with. Its data is in `home/kafka`; it is run in `home`."""

    libraries: Path
    java: Path

    def write_settings(self, home: Path, port: int) -> None:
        """Write `server.properties`: loopback only, one replica of everything, the controller on any free port."""
        (home / "server.properties").write_text(PROPERTIES.format(port=port, controller=_free_port()))

    def is_formatted(self, home: Path) -> bool:
        return (home / "kafka" / "meta.properties").is_file()

    def format_command(self, home: Path) -> tuple[str, ...]:
        cluster = f"dataplatform-{secrets.token_hex(4)}"
        return self._run(home, "kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config")

    def server_command(self, home: Path) -> tuple[str, ...]:
        return self._run(home, "kafka.Kafka")

    def _run(self, home: Path, main: str, *arguments: str) -> tuple[str, ...]:
        classes = ("-cp", f"{self.libraries}/*")
        return (str(self.java), *JVM, *classes, main, *arguments, str(home / "server.properties"))


def broker_kind(environ: Mapping[str, str] = os.environ) -> Literal["kafka", "light"]:
    """Tell which broker an `EmbeddedBroker` runs: Apache Kafka where it is installed, else the light stand-in.

    >>> broker_kind({})
    'light'
    """
    return "kafka" if find_kafka(environ) else "light"


def find_kafka(environ: Mapping[str, str] = os.environ) -> Kafka | None:
    """Return the Kafka that `KAFKA_HOME` names (it has `libs/*.jar`), if there is a Java 17 or later as well."""
    home = environ.get("KAFKA_HOME")
    if not home:
        return None
    libraries = Path(home).expanduser().resolve() / "libs"
    java = _java(environ)
    return Kafka(libraries, java) if java and any(libraries.glob("kafka_2*.jar")) else None


def _java(environ: Mapping[str, str]) -> Path | None:
    folders = [f"{home}/bin"] if (home := environ.get("JAVA_HOME")) else []
    for path in (*folders, environ.get("PATH", os.defpath)):
        java = shutil.which("java", path=path)
        if java and _java_version(java) >= JAVA_NEEDED:
            return Path(java).resolve()
    return None


def _java_version(java: str) -> int:
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run([java, "-version"], capture_output=True, check=False, timeout=10).stderr  # noqa: S603
        if version := re.search(rb'version "(\d+)', said):
            return int(version[1])
    return 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


METADATA, VERSION, CORRELATION, CLIENT = 3, 1, 1, b"dataplatform"
NO_TOPICS = struct.pack(">i", 0)
LARGEST = 1_000_000  # bytes of an answer; without topics it has a few dozen


def broker_serves(host: str, port: int, timeout: float = 1.0) -> bool:
    """Tell whether the broker names itself as one that can be used; gives up when it pauses for `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(_sized(_header() + NO_TOPICS))
            answer = _read_sized(connection)
            correlation, brokers = struct.unpack_from(">ii", answer)
    except (OSError, struct.error):
        return False
    return bool(correlation == CORRELATION and brokers > 0)


def _header() -> bytes:
    return struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(CLIENT)) + CLIENT


def _sized(request: bytes) -> bytes:
    return struct.pack(">i", len(request)) + request


def _read_sized(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, min(size, LARGEST))


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (part := connection.recv(size - len(read))):
        read += part
    return read


HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # below the ports that outgoing connections take: a retrying client can take those
LIGHT = "a light stand-in for trying things out, no store: killed, it can lose records it acknowledged"


def broker_address(data_dir: Path) -> str:
    """Return the address, "127.0.0.1:PORT", of the embedded broker of a data directory, from now on the same.

    The port is chosen once and remembered in `<data_dir>/broker/port`; another one is chosen only when somebody else
    has taken it. Raises `OSError` where that cannot be written.
    """
    home = DataDirectory(data_dir).broker
    remembered = _remembered(home / "port")
    if remembered and (_is_free(remembered) or lock_is_held(home / LOCK)):
        return f"{HOST}:{remembered}"
    port = next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = home / "port.new"
    new.write_text(f"{port}\n")
    new.replace(home / "port")
    return f"{HOST}:{port}"


class EmbeddedBroker(ServerAgent):
    """A Kafka broker on `address`: `EmbeddedBroker.child("broker", data_dir, broker_address(data_dir))`.

    `broker_kind` tells which one it is. The light one must not be taken for a store, and says so in the log.
    """

    def __init__(self, context: Context, data_dir: Path, address: str) -> None:
        super().__init__(context)
        self._home = DataDirectory(data_dir).broker
        self._port = int(address.rpartition(":")[2])
        self._kafka: Kafka | None = None

    def _open(self) -> None:
        self._kafka = find_kafka()
        if self._kafka is None:
            self.log.warning("light broker", meaning=LIGHT, remedy="set KAFKA_HOME to an Apache Kafka to run that")
        super()._open()

    def _program(self) -> Program:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (_is_free(self._port) or lock_is_held(self._home / LOCK)):
            raise Transient(
                "port_taken",
                f"port {self._port} of {HOST} is taken by another program",
                remedy="stop that; a new start of the platform would choose another port",
            )
        return self._light_program() if self._kafka is None else self._kafka_program(self._kafka)

    def _look(self, pid: int) -> Progress:
        del pid
        return Progress.READY if broker_serves(HOST, self._port) else Progress.SILENT

    def _address(self) -> str:
        return f"{HOST}:{self._port}"

    def _light_program(self) -> Program:
        """noida-db's own start: it writes its snapshot on SIGTERM."""
        store = self._home / "light"
        command = (str(light_binary()), "start", "--only", "kafka", "--data-dir", str(store))
        return Program("the light broker", (*command, "--kafka-port", str(self._port)), self._home, signal.SIGTERM)

    def _kafka_program(self, kafka: Kafka) -> Program:
        kafka.write_settings(self._home, self._port)
        if kafka.is_formatted(self._home):
            return Program("Apache Kafka", kafka.server_command(self._home), self._home)
        return Program("Apache Kafka", kafka.format_command(self._home), self._home, then=lambda: None)


def light_binary() -> Path:
    """Return the light broker's program; raises `Permanent` where the wheel is not installed."""
    found = importlib.util.find_spec("noida_db")
    for location in (found.submodule_search_locations or []) if found else []:
        binary = Path(location, "noida-db")
        if binary.is_file():
            if not os.access(binary, os.X_OK):
                binary.chmod(0o755)
            return binary
    raise Permanent(
        "not_installed", "the embedded broker is not installed", remedy="pip install 'dataplatform[embedded]'"
    )


def _remembered(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        port = int(file.read_text())
        return port if 0 < port < 65_536 else None  # noqa: PLR2004
    return None


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
