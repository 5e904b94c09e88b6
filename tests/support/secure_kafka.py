"""Apache Kafka with a listener for each way in: plain or TLS, with or without a login, with clients' certificates."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import field, frozen

from dataplatform.base.embedded.broker import broker_serves, find_kafka
from tests.support.kafka import kafka_home

__all__ = ["USER", "Certificate", "SecureKafka", "certificate", "secure_kafka"]

HOST = "127.0.0.1"
USER, PASSWORD = "ada", "p[HUSHHUSH]x"
LISTENERS = ("PLAINTEXT", "SSL", "CERTIFIED", "SASL_PLAINTEXT", "SASL_SSL")
PROTOCOLS = {"CERTIFIED": "SSL"}  # of listeners that are not called by their protocol
STARTING = 120.0  # seconds
SETTINGS = """
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={certificate}
listener.name.certified.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={login}
listener.name.sasl_ssl.plain.sasl.jaas.config={login}
"""
LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'


@frozen
class Certificate:
    """A certificate for a name and for this machine's loopback addresses, signed by itself, and its key."""

    file: Path
    key: Path


@frozen
class SecureKafka:
    """A running broker: its listeners' ports by name, and the certificate that it has."""

    ports: dict[str, int]
    certificate: Certificate
    password: str = field(default=PASSWORD, repr=False)

    def address(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"


def certificate(folder: Path, name: str = "localhost", address: str = HOST) -> Certificate:
    """Make a certificate; skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", f"subjectAltName=DNS:{name},IP:{address}"]
    files = ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=STARTING)
    return made


@contextmanager
def secure_kafka(folder: Path, advertised: str = HOST) -> Iterator[SecureKafka]:
    """Run a broker in a new folder, which tells clients this address; skips the test where there is no Kafka."""
    found = find_kafka(os.environ | {"KAFKA_HOME": str(kafka_home())})
    assert found is not None
    made, ports = certificate(folder), dict(zip(LISTENERS, _free_ports(len(LISTENERS)), strict=True))
    store = folder / "store.pem"
    store.write_text(made.key.read_text() + made.file.read_text())
    found.write_settings(folder, ports["PLAINTEXT"])
    _add_listeners(folder / "server.properties", ports, advertised)
    with (folder / "server.properties").open("a") as properties:
        properties.write(SETTINGS.format(store=store, certificate=made.file, login=LOGIN))
    subprocess.run(found.format_command(folder), cwd=folder, check=True, capture_output=True, timeout=STARTING)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(found.server_command(folder), cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + STARTING
        while not broker_serves(HOST, ports["PLAINTEXT"]):
            assert process.poll() is None, (folder / "log").read_text()[-2_000:]
            assert time.monotonic() < deadline, "Kafka did not start"
        yield SecureKafka(ports, made)
    finally:
        process.kill()
        process.wait()


def _add_listeners(properties: Path, ports: dict[str, int], advertised: str) -> None:
    """Put the listeners beside the one for the controller."""
    text = properties.read_text()
    told = ",".join(f"{name}://{advertised}:{port}" for name, port in ports.items())
    listeners = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    protocols = ",".join(f"{name}:{PROTOCOLS.get(name, name)}" for name in ports)
    text = re.sub(r"(?m)^listeners=PLAINTEXT://[^,]*", f"listeners={listeners}", text)
    text = re.sub(r"(?m)^advertised\.listeners=.*", f"advertised.listeners={told}", text)
    text = re.sub(r"(?m)^(listener.security.protocol.map)=PLAINTEXT:PLAINTEXT", rf"\1={protocols}", text)
    properties.write_text(text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]
