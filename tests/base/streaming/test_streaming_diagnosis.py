"""Each reason why no broker lets a client in has words and a remedy of its own, at brokers of every kind."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from dataplatform.base.streaming import CountRecords, RedpandaSettings
from dataplatform.base.streaming.diagnosis import API_VERSIONS, METADATA, diagnose
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.system.cli.main import main
from tests.base.streaming.broker import Broker
from tests.base.streaming.clients import Clients
from tests.support.secure_kafka import USER, Certificate, SecureKafka, certificate, secure_kafka
from tests.support.waiting import DEADLINE

TOPOLOGY = """
[clients.kafka]
kind = "redpanda"
brokers = "{brokers}"
security_protocol = "SSL"
[sources.topics]
kind = "redpanda"
client = "kafka"
"""
pytestmark = pytest.mark.filterwarnings(  # kafka-python forgets to close sockets over which it was not let in
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
Serve = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("secure")) as kafka:
        yield kafka


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


def settings_for(kafka: SecureKafka, listener: str, protocol: str, **more: Any) -> RedpandaSettings:
    """Return settings of a protocol, with all that it asks for, for a listener that may speak another."""
    given: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL_"):
        given |= {"sasl_mechanism": "PLAIN", "username": USER, "password": kafka.password}
    if protocol.endswith("SSL"):
        given["ca_file"] = str(kafka.certificate.file)
    return RedpandaSettings(kafka.address(listener), **(given | more))


@contextmanager
def listening(serve: Serve) -> Iterator[str]:
    """Yield the address of a server that treats each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # it is shut down in the end
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError, struct.error):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def found(settings: RedpandaSettings) -> PlatformError:
    error = diagnose(settings)
    assert error is not None
    assert error.code == "broker"
    return error


# Brokers that run


@pytest.mark.parametrize(
    ("listener", "protocol"),
    [
        ("PLAINTEXT", "PLAINTEXT"),
        ("SSL", "SSL"),
        ("SASL_PLAINTEXT", "SASL_PLAINTEXT"),
        ("SASL_SSL", "SASL_SSL"),
    ],
)
def test_where_all_is_right_a_client_is_let_in(
    kafka: SecureKafka, clients: Clients, listener: str, protocol: str
) -> None:
    settings = settings_for(kafka, listener, protocol)
    assert diagnose(settings) is None
    assert clients.producer(settings).get(CountRecords(())) == {}


def test_so_is_one_with_a_certificate_of_its_own(kafka: SecureKafka, clients: Clients) -> None:
    own = {"cert_file": str(kafka.certificate.file), "key_file": str(kafka.certificate.key)}
    settings = settings_for(kafka, "CERTIFIED", "SSL", **own)
    assert diagnose(settings) is None
    assert clients.producer(settings).get(CountRecords(())) == {}


@pytest.mark.parametrize(
    ("listener", "protocol", "said", "remedy"),
    [
        ("SSL", "PLAINTEXT", "it speaks TLS", "set security_protocol to SSL"),
        ("SASL_SSL", "SASL_PLAINTEXT", "it speaks TLS", "set security_protocol to SASL_SSL"),
        ("PLAINTEXT", "SSL", "it speaks no TLS", "set security_protocol to PLAINTEXT"),
        ("SASL_PLAINTEXT", "SASL_SSL", "it speaks no TLS", "set security_protocol to SASL_PLAINTEXT"),
        (
            "SASL_PLAINTEXT",
            "PLAINTEXT",
            "it asks for a login by SASL (PLAIN)",
            "set security_protocol to SASL_PLAINTEXT, with sasl_mechanism, username and password",
        ),
        (
            "SASL_SSL",
            "SSL",
            "it asks for a login by SASL (PLAIN)",
            "set security_protocol to SASL_SSL, with sasl_mechanism, username and password",
        ),
        (
            "PLAINTEXT",
            "SASL_PLAINTEXT",
            "it asks for no login",
            "set security_protocol to PLAINTEXT, without sasl_mechanism, username and password",
        ),
        (
            "CERTIFIED",
            "SSL",
            "it does not accept the client's certificate, or wants one",
            "set cert_file and key_file to what the broker's administrator has issued",
        ),
    ],
)
def test_another_protocol_is_told_with_the_one_to_set(
    kafka: SecureKafka, listener: str, protocol: str, said: str, remedy: str
) -> None:
    settings = settings_for(kafka, listener, protocol)
    error = found(settings)
    assert isinstance(error, Permanent)
    assert error.message.startswith(f"{settings.brokers[0]}: {said}")
    assert error.remedy == remedy


@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_login_that_is_refused_is_told_without_its_password(
    kafka: SecureKafka, clients: Clients, listener: str
) -> None:
    wrong = settings_for(kafka, listener, listener, password="wrong-password")
    error = found(wrong)
    assert isinstance(error, Permanent)
    assert "it refuses the login: Authentication failed" in error.message
    assert error.remedy == "check username and password"
    other = found(settings_for(kafka, listener, listener, sasl_mechanism="SCRAM-SHA-256"))
    assert "it does not take SCRAM-SHA-256" in other.message
    assert other.remedy == "set sasl_mechanism to PLAIN"
    client = clients.producer(evolve(wrong, request_timeout=1.0))
    assert client.fail(CountRecords(())) == error
    assert "wrong-password" not in str(error)


def test_a_certificate_that_is_not_trusted_is_told(kafka: SecureKafka) -> None:
    error = found(settings_for(kafka, "SSL", "SSL", ca_file=None))
    assert isinstance(error, Permanent)
    assert "its certificate is not trusted: self-signed certificate" in error.message
    assert error.remedy.startswith("set ca_file")


def test_a_file_that_has_gone_is_named(kafka: SecureKafka, tmp_path: Path) -> None:
    copy = tmp_path / "ca.pem"
    copy.write_bytes(kafka.certificate.file.read_bytes())
    settings = settings_for(kafka, "SSL", "SSL", ca_file=str(copy))
    copy.unlink()
    assert found(settings).message == f"ca_file: there is no file {copy}"


def test_one_broker_that_can_be_used_is_enough(kafka: SecureKafka) -> None:
    settings = settings_for(kafka, "PLAINTEXT", "PLAINTEXT")
    assert diagnose(evolve(settings, brokers=("127.0.0.1:1", *settings.brokers))) is None


def test_what_is_to_be_mended_at_one_goes_before_an_outage_of_another(kafka: SecureKafka) -> None:
    settings = settings_for(kafka, "SSL", "PLAINTEXT")
    assert "it speaks TLS" in found(evolve(settings, brokers=("127.0.0.1:1", *settings.brokers))).message


def test_the_reason_is_what_a_client_answers_and_shows(kafka: SecureKafka, clients: Clients) -> None:
    client = clients.producer(evolve(settings_for(kafka, "SSL", "PLAINTEXT"), request_timeout=1.0))
    error = client.fail(CountRecords(()))
    assert "it speaks TLS" in error.message
    assert "Unable to bootstrap" not in error.message


def test_check_connect_tells_it(kafka: SecureKafka, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(TOPOLOGY.format(brokers=kafka.address("PLAINTEXT")))
    result = CliRunner().invoke(main, [str(file), "--check", "--connect"])
    assert result.exit_code == 2
    assert "it speaks no TLS; set security_protocol to PLAINTEXT" in result.stderr


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker that tells its clients a name which nobody knows."""
    with secure_kafka(tmp_path_factory.mktemp("hidden"), advertised="nowhere.invalid") as kafka:
        yield kafka


@pytest.mark.parametrize("listener", ["PLAINTEXT", "SASL_SSL"])
def test_a_broker_that_sends_clients_to_where_they_cannot_go_is_told(
    hidden: SecureKafka, clients: Clients, listener: str
) -> None:
    settings = settings_for(hidden, listener, listener)
    error = found(settings)
    assert isinstance(error, Transient)
    place = f"nowhere.invalid:{hidden.ports[listener]}"
    assert f"it sends clients on to {place}, which cannot be reached" in error.message
    assert error.remedy.startswith("set advertised.listeners")
    assert clients.producer(settings).fail(CountRecords(())) == error


def test_the_light_broker_is_let_in_to(broker: Broker) -> None:
    assert diagnose(broker.settings) is None


# None, or something else


def test_a_port_at_which_nothing_listens_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = found(RedpandaSettings(f"127.0.0.1:{port}"))
    assert isinstance(error, Transient)
    assert error.message == f"127.0.0.1:{port}: nothing listens there"
    assert error.remedy == "check brokers, and that they run"


def test_a_name_that_cannot_be_resolved_is_an_outage() -> None:
    error = found(RedpandaSettings("nowhere.invalid:9092"))
    assert isinstance(error, Transient)
    assert error.message == "nowhere.invalid:9092: its name cannot be resolved"
    assert "DNS" in error.remedy


def test_several_outages_are_told_together() -> None:
    error = found(RedpandaSettings("nowhere.invalid:9092,127.0.0.1:1"))
    assert isinstance(error, Transient)
    assert error.message == "nowhere.invalid:9092: its name cannot be resolved; 127.0.0.1:1: nothing listens there"


def close(connection: socket.socket) -> None:
    connection.recv(1)


def say_http(connection: socket.socket) -> None:
    connection.recv(1_000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("serve", [close, say_http])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_what_is_no_broker_is_an_outage(serve: Serve, protocol: str) -> None:
    with listening(serve) as address:
        error = found(RedpandaSettings(address, security_protocol=protocol))
    assert isinstance(error, Transient)
    assert error.message.startswith(f"{address}: ")


def test_one_that_says_nothing_is_an_outage() -> None:
    done = threading.Event()

    def wait(_connection: socket.socket) -> None:
        done.wait()

    with listening(wait) as address:
        error = found(RedpandaSettings(address))
        done.set()
    assert isinstance(error, Transient)
    assert "it gave no answer" in error.message


def diagnosed(settings: RedpandaSettings) -> PlatformError:
    """Return what is found, which has to come although the other side would take hours."""
    answer: Future[PlatformError] = Future()
    threading.Thread(target=lambda: answer.set_result(found(settings)), daemon=True).start()
    return answer.result(DEADLINE)


def test_one_that_answers_byte_by_byte_holds_nobody_up() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(struct.pack(">i", 1_000_000))
        while not done.wait(0.05):
            connection.sendall(b"\0")

    with listening(drip) as address:
        error = diagnosed(RedpandaSettings(address))
        done.set()
    assert error == Transient(
        "broker", f"{address}: it was not done answering in 5 s", remedy="check that it runs, and what is between"
    )


@contextmanager
def full() -> Iterator[tuple[str, int]]:
    """Yield the place of a listener that takes no more connections: who opens one waits."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        place = listener.getsockname()
        for _ in range(4):  # more than the system lets wait there
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(place)
        yield place


def sending_on(places: Sequence[tuple[str, int]]) -> Serve:
    """Answer as a broker of a cluster, the others of which are at these places."""
    brokers = b"".join(
        struct.pack(">ih", 1, len(host)) + host.encode() + struct.pack(">ih", port, -1) for host, port in places
    )
    answers = {API_VERSIONS: b"", METADATA: struct.pack(">i", len(places)) + brokers}

    def serve(connection: socket.socket) -> None:
        while True:
            (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
            api, _, correlation = struct.unpack_from(">hhi", connection.recv(size, socket.MSG_WAITALL))
            answer = struct.pack(">i", correlation) + answers[api]
            connection.sendall(struct.pack(">i", len(answer)) + answer)

    return serve


def test_one_that_sends_clients_on_to_many_silent_places_holds_nobody_up() -> None:
    with full() as place, listening(sending_on([place] * 1_000)) as address:
        error = diagnosed(RedpandaSettings(address))
    assert isinstance(error, Transient)
    assert error.message.startswith(f"{address}: it sends clients on to {place[0]}:{place[1]}, which cannot be reached")


def test_at_most_three_of_the_places_are_visited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        refusing = free.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as fourth:
        with listening(sending_on([refusing] * 3 + [fourth.getsockname()])) as address:
            assert "cannot be reached" in found(RedpandaSettings(address)).message
        with listening(sending_on([refusing] * 2 + [fourth.getsockname()])) as address:
            assert diagnose(RedpandaSettings(address)) is None


def test_a_certificate_of_another_host_is_told(made: Certificate, tmp_path: Path) -> None:
    other = certificate(tmp_path, "other.example", "10.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.file, other.key)

    def serve(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    with listening(serve) as address:
        error = found(RedpandaSettings(address, security_protocol="SSL", ca_file=str(other.file)))
        untrusted = found(RedpandaSettings(address, security_protocol="SSL", ca_file=str(made.file)))
    assert isinstance(error, Permanent)
    assert "IP address mismatch" in error.message
    assert "self-signed certificate" in untrusted.message
