"""Apache Kafka, one node in KRaft mode, where `KAFKA_HOME` and Java 17 are there: command lines and settings."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from attrs import frozen

__all__ = ["Kafka", "broker_kind", "find_kafka"]

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
