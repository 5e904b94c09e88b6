"""Why no broker lets a client in: the steps of connecting, taken one by one, each with words and a remedy of its own.

kafka-python says "unable to bootstrap" whatever the reason. So after it has failed, each broker is visited once: its
name is looked up, a connection opened, TLS spoken, the broker asked for its versions, and for the login that it wants.
All of that takes a few seconds at most, whatever is silent: it is done while the client's agent waits.
Formats are those of the protocol guide (https://kafka.apache.org/protocol).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from attrs import frozen
from kafka.net.sasl import get_sasl_mechanism

from dataplatform.base.net.deadline import Deadline, SlowNameError, open_connection
from dataplatform.base.streaming.security import tls_context, uses_sasl, uses_tls
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["diagnose"]

LONGEST, LONGEST_STEP = 5.0, 3.0  # seconds for all, and for each answer: no longer than the client waits for one
VISITED = 3  # brokers of a cluster, and places to which one sends its clients on
LARGEST = 1_000_000  # bytes of an answer; each has a few hundred
METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 17, 18, 36
NO_TOPICS = struct.pack(">i", 0)
UNSUPPORTED_MECHANISM, ILLEGAL_STATE = 33, 34
CLIENT = b"dataplatform"
CORRELATION = struct.Struct(">i")  # of answer and request, at the beginning
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"}  # as OpenSSL calls it
CHECK = "check that it runs, and what is between"
WANTS_CERTIFICATE = ("CERTIFICATE", "HANDSHAKE_FAILURE", "UNKNOWN_CA")


def diagnose(settings: RedpandaSettings) -> PlatformError | None:
    """Return why no broker can be used, None where nothing wrong is to be seen.

    It is what somebody has to mend, where that is so at any of the brokers; else what is out of order at each. The
    answer comes within 5 seconds.
    """
    try:
        context = tls_context(settings) if uses_tls(settings) else None
    except ValueError as error:
        return Permanent("broker", str(error), remedy="give the files that the broker's administrator has issued")
    deadline = Deadline.after(LONGEST, min(LONGEST_STEP, settings.request_timeout))
    visits = [_Visit(settings, address, context, deadline) for address in settings.brokers[:VISITED]]
    with ThreadPoolExecutor(VISITED) as pool:
        found = list(pool.map(_Visit.result, visits))
    errors = [error for error in found if error is not None]
    if len(errors) < len(found):
        return None
    refusals = [error for error in errors if isinstance(error, Permanent)]
    if refusals or len(errors) == 1:
        return (refusals or errors)[0]
    remedies = "; ".join(dict.fromkeys(error.remedy for error in errors))
    return Transient("broker", "; ".join(error.message for error in errors), remedy=remedies)


@frozen
class _Visit:
    """One visit to one broker."""

    settings: RedpandaSettings
    address: str
    context: ssl.SSLContext | None
    deadline: Deadline

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    def result(self) -> PlatformError | None:
        """Return what is wrong with the broker, or with how the client is set up for it."""
        try:
            mechanism = self.settings.sasl_mechanism
            return self._without_login() if mechanism is None else self._with_login(mechanism)
        except socket.gaierror:
            return self._outage("its name cannot be resolved", "check brokers, and the DNS of this machine")
        except ConnectionRefusedError:
            return self._outage("nothing listens there", "check brokers, and that they run")
        except ssl.SSLError as error:
            return self._without_tls(error)
        except SlowNameError:
            return self._outage("its name is not resolved in time", "check the DNS of this machine")
        except TimeoutError:
            late = f"it was not done answering in {LONGEST:g} s"
            silent = f"it gave no answer in {self.deadline.step:g} s"
            return self._outage(late if self.deadline.has_passed else silent, CHECK)
        except (OSError, struct.error) as error:
            return self._broken_off(error)

    @contextmanager
    def _connected(self) -> Iterator[_Line]:
        with self._opened() as plain:
            if self.context is None:
                yield _Line(plain, self.deadline)
                return
            with self.context.wrap_socket(plain, server_hostname=self.place[0]) as line:
                yield _Line(line, self.deadline)

    def _opened(self) -> socket.socket:
        return open_connection(*self.place, self.deadline)

    def _without_login(self) -> PlatformError | None:
        """Ask what a client without a login asks; a broker that wants one then closes the connection."""
        with self._connected() as line:
            line.ask(API_VERSIONS, 0)
            with suppress(ConnectionError, ssl.SSLError):
                return self._sent_on(line.advertised())
        with self._connected() as line:
            _, offered = line.offers("PLAIN")
        return self._mismatch(f"it asks for a login by SASL ({', '.join(offered)})", sasl=True)

    def _with_login(self, mechanism: str) -> PlatformError | None:
        with self._connected() as line:
            line.ask(API_VERSIONS, 0)
            code, offered = line.offers(mechanism)
            if code == ILLEGAL_STATE:
                return self._mismatch("it asks for no login", sasl=False)
            if code == UNSUPPORTED_MECHANISM:
                return self._refused(f"it does not take {mechanism}", f"set sasl_mechanism to {' or '.join(offered)}")
            refused = line.authenticate(mechanism, self.settings)
            if refused is not None:
                return self._refused(f"it refuses the login: {refused}", "check username and password")
            return self._sent_on(line.advertised())

    def _sent_on(self, places: list[tuple[str, int]]) -> PlatformError | None:
        """Look at where the broker sends its clients on to: often a name that is known in its own network alone."""
        reasons = []
        for host, port in places[:VISITED]:
            if self.deadline.has_passed:
                break
            try:
                open_connection(host, port, self.deadline).close()
            except OSError as error:
                reasons.append(
                    f"it sends clients on to {host}:{port}, which cannot be reached ({error.strerror or error})"
                )
            else:
                return None
        remedy = "set advertised.listeners of the broker to an address that this machine can reach"
        return self._outage(reasons[0], remedy) if reasons else None

    def _without_tls(self, error: ssl.SSLError) -> PlatformError:
        """Explain why TLS could not be spoken."""
        reason = getattr(error, "reason", None) or ""
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            return self._refused(
                f"its certificate is not trusted: {why}", "set ca_file to the authority that signed it"
            )
        if any(word in reason for word in WANTS_CERTIFICATE):
            remedy = "set cert_file and key_file to what the broker's administrator has issued"
            return self._refused(f"it does not accept the client's certificate, or wants one ({reason})", remedy)
        if reason in NO_TLS and self._speaks_plainly():
            return self._mismatch("it speaks no TLS", tls=False)
        return self._outage(f"TLS broke off: {reason or error}", "check that it runs")

    def _broken_off(self, error: Exception) -> PlatformError:
        """Explain why a connection was closed without an answer."""
        if self.context is None and self._speaks_tls():
            return self._mismatch("it speaks TLS", tls=True)
        return self._outage(f"it closed the connection without an answer ({error})", "check that it is a broker")

    def _speaks_plainly(self) -> bool:
        with suppress(OSError), self._opened() as plain:
            return _Line(plain, self.deadline).answers(API_VERSIONS, 0)
        return False

    def _speaks_tls(self) -> bool:
        """Tell whether anybody may speak TLS there; its certificate is another matter."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with self._opened() as plain, context.wrap_socket(plain):
                return True
        except ssl.SSLError as error:
            return (getattr(error, "reason", None) or "") not in {"", *NO_TLS}
        except OSError:
            return False

    def _mismatch(self, what: str, *, sasl: bool | None = None, tls: bool | None = None) -> Permanent:
        """Return that the broker speaks another protocol, which has or lacks a login or TLS, and what to set."""
        had_sasl = uses_sasl(self.settings)
        sasl, tls = had_sasl if sasl is None else sasl, uses_tls(self.settings) if tls is None else tls
        protocol = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
        login = "" if sasl is had_sasl else f", {'with' if sasl else 'without'} sasl_mechanism, username and password"
        return self._refused(what, f"set security_protocol to {protocol}{login}")

    def _refused(self, what: str, remedy: str) -> Permanent:
        return Permanent("broker", f"{self.address}: {what}", remedy=remedy)

    def _outage(self, what: str, remedy: str) -> Transient:
        return Transient("broker", f"{self.address}: {what}", remedy=remedy)


@frozen
class _Line:
    """A connection over which the broker is asked one thing after the other."""

    socket: socket.socket
    deadline: Deadline

    def ask(self, api: int, version: int, body: bytes = b"") -> bytes:
        """Return the body of the answer; raises `OSError` where the connection ends before it."""
        header = struct.pack(">hhih", api, version, api, len(CLIENT)) + CLIENT
        self.socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        (size,) = struct.unpack(">i", self._read(4))
        if not CORRELATION.size <= size <= LARGEST:
            raise ConnectionError("the answer is none of a broker's")
        answer = self._read(size)
        if CORRELATION.unpack_from(answer) != (api,):
            raise ConnectionError("the answer is none of a broker's")
        return answer[CORRELATION.size :]

    def offers(self, mechanism: str) -> tuple[int, list[str]]:
        """Ask to log in by a mechanism; return the error's code, and the mechanisms there are."""
        name = mechanism.encode()
        answer = self.ask(SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
        code, count = struct.unpack_from(">hi", answer)
        offered, at = [], 6
        for _ in range(count):
            text, at = _text(answer, at)
            offered.append(text)
        return code, offered

    def answers(self, api: int, version: int, body: bytes = b"") -> bool:
        """Tell whether there is an answer."""
        try:
            self.ask(api, version, body)
        except (OSError, struct.error):
            return False
        return True

    def advertised(self) -> list[tuple[str, int]]:
        """Return the addresses of the cluster's brokers, as they tell their clients."""
        answer = self.ask(METADATA, 1, NO_TOPICS)
        (count,) = struct.unpack_from(">i", answer)
        places, at = [], 4
        for _ in range(count):
            host, at = _text(answer, at + 4)  # past its number
            (port,) = struct.unpack_from(">i", answer, at)
            _, at = _text(answer, at + 4)  # its rack
            places.append((host, port))
        return places

    def authenticate(self, mechanism: str, settings: RedpandaSettings) -> str | None:
        """Log in; return what the broker says where it refuses."""
        login: Any = get_sasl_mechanism(mechanism)(**settings.common("diagnosis"))
        while not login.is_done():
            token = login.auth_bytes()
            answer = self.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            (code,) = struct.unpack_from(">h", answer)
            said, at = _text(answer, 2)
            if code:
                return said or f"error {code}"
            try:
                login.receive(answer[at + 4 :])
            except ValueError as error:  # what SCRAM has to prove to us, too
                return str(error)
        return None

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            self.socket.settimeout(self.deadline.left())
            part = self.socket.recv(size - len(read))
            if not part:
                raise ConnectionResetError("it was closed")
            read += part
        return read


def _text(answer: bytes, at: int) -> tuple[str, int]:
    """Return the text that begins at a place, which may be null, and the place after it."""
    (length,) = struct.unpack_from(">h", answer, at)
    end = at + 2 + max(0, length)
    return answer[at + 2 : end].decode(errors="replace"), end
