"""Every exception of psycopg2 says whether to try again, and what to do otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import errorcodes, errors

from dataplatform.base.database.connection import explain
from dataplatform.errors import Permanent, PlatformError, Transient

STATES = {
    name: code
    for name, code in vars(errorcodes).items()
    if name.isupper() and isinstance(code, str) and len(code) == 5 and not name.startswith("CLASS_")
}
OUTAGES = {"08": "connection", "40": "rollback", "53": "resources", "55": "state", "57": "operator", "58": "system"}
ABOUT_RECORDS = {"22": "data", "23": "constraints", "44": "views", "54": "limits", "P0": "triggers"}
TO_BE_MENDED = {"28000", "28P01", "3D000", "3F000", "42501"}


def subclasses(cls: type[psycopg2.Error]) -> Iterator[type[psycopg2.Error]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from subclasses(subclass)


def raised(state: str, message: str = "what happened") -> psycopg2.Error:
    """Return the exception that psycopg2 raises for a SQLSTATE."""
    try:
        error = errors.lookup(state)(message)
    except KeyError:  # of a state that it has no class for
        error = psycopg2.DatabaseError(message)
    error.__setstate__({"pgcode": state})  # type: ignore[no-untyped-call]
    return error


def test_there_are_as_many_states_as_there_should_be() -> None:
    assert len(STATES) > 200
    assert len(set(subclasses(psycopg2.Error))) > 200


def test_every_exception_is_mapped_for_writing_and_for_reading() -> None:
    for cls in set(subclasses(psycopg2.Error)):
        for writing in (True, False):
            error = explain(cls("what happened"), writing=writing)
            assert type(error) in {Transient, Permanent}, cls
            assert "what happened" in error.message


def test_every_state_is_an_outage_the_record_s_fault_or_to_be_mended() -> None:
    for state in STATES.values():
        error = explain(raised(state), writing=True)
        assert f"({state})" in error.message
        if state[:2] in OUTAGES:
            assert type(error) is Transient, state
        elif state[:2] in ABOUT_RECORDS:
            assert (type(error), error.code) == (Permanent, "rejected"), state
        elif state in TO_BE_MENDED:
            assert type(error) is Permanent, state
            assert error.remedy, state
        elif type(error) is Permanent:
            assert error.code == "database", state


@pytest.mark.parametrize(
    ("cls", "kind", "code"),
    [
        (psycopg2.OperationalError, Transient, "database"),
        (psycopg2.InterfaceError, Transient, "database"),
        (psycopg2.DatabaseError, Transient, "database"),
        (psycopg2.DataError, Permanent, "rejected"),
        (psycopg2.ProgrammingError, Permanent, "database"),
        (psycopg2.NotSupportedError, Permanent, "database"),
    ],
)
def test_what_psycopg2_finds_out_for_itself(cls: type[psycopg2.Error], kind: type[PlatformError], code: str) -> None:
    error = explain(cls("what happened"), writing=True)
    assert (type(error), error.code, error.message) == (kind, code, "what happened")


@pytest.mark.parametrize(
    ("state", "code"), [("25P03", "database"), ("25P04", "database"), ("42P01", "schema"), ("25006", "read_only")]
)
def test_some_states_of_other_classes_are_outages(state: str, code: str) -> None:
    error = explain(raised(state), writing=True)
    assert (type(error), error.code) == (Transient, code)


REFUSED = 'connection to server at "localhost" (::1), port 5432 failed: Connection refused Is the server running there?'
FAILED = 'connection to server at "db" (10.0.0.1), port 5432 failed: '
NO_ENTRY = 'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "ada", database "market", no encryption'
TLS = "check sslmode and the certificates in the DSN"
USER = "check the user in the DSN and the server's pg_hba.conf"


@pytest.mark.parametrize(
    "said",
    [
        "SSL SYSCALL error: EOF detected",
        "SSL SYSCALL error: Connection reset by peer",
        "SSL SYSCALL error: Connection timed out",
        "SSL SYSCALL error: No route to host",
        "SSL connection has been closed unexpectedly",
        "SSL error: unexpected eof while reading",
        "SSL error: decryption failed or bad record mac",
        "SSL error: ssl/tls alert bad record mac",
        "SSL error: tlsv1 alert internal error",
        "could not send SSL negotiation packet: Broken pipe",
        "could not establish SSL connection: out of memory",
        "server sent an error response during SSL exchange",
        "server closed the connection unexpectedly",
        "unexpected message from server during startup",
        "invalid connection state, probably indicative of memory corruption",
        REFUSED,
        f"{REFUSED}\n{FAILED}timeout expired",
        f"{FAILED}SSL SYSCALL error: EOF detected\n{FAILED}{NO_ENTRY}",  # sslmode=prefer, while the server restarts
        f"{FAILED}FATAL:  the database system is starting up",
        f"{FAILED}FATAL:  sorry, too many clients already",
    ],
)
def test_a_connection_that_broke_is_an_outage_whether_or_not_it_was_encrypted(said: str) -> None:
    error = explain(psycopg2.OperationalError(said), writing=True)
    assert type(error) is Transient
    assert "?" not in error.message, "libpq's question is none of ours"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("server does not support SSL, but SSL was required", TLS),
        ("SSL error: certificate verify failed", TLS),
        ("SSL error: sslv3 alert handshake failure", TLS),
        ("SSL error: ssl/tls alert handshake failure", TLS),
        ("SSL error: tlsv1 alert unknown ca", TLS),
        ("SSL error: tlsv13 alert certificate required", TLS),
        ("SSL error: tlsv1 alert protocol version", TLS),
        ("SSL error: unsupported protocol", TLS),
        ('server certificate for "db.example" (and 1 other name) does not match host name "db"', TLS),
        ('root certificate file "/nowhere/ca.pem" does not exist Either provide the file or change sslmode', TLS),
        ('private key file "/key.pem" has group or world access; file must have permissions u=rw (0600) or less', TLS),
        ('certificate present, but not private key file "/key.pem"', TLS),
        ("channel binding required but not supported by server's authentication request", TLS),
        ("FATAL:  connection requires a valid client certificate", TLS),
        ("ERROR:  connection is insecure (try using `sslmode=require`)", TLS),
        ("FATAL:  SSL required", TLS),
        (NO_ENTRY, USER),
        ('FATAL:  role "ada" does not exist', USER),
        ('FATAL:  database "market" does not exist', "create the database, or check its name in the DSN"),
        ('FATAL:  password authentication failed for user "ada"', "check the password in the DSN"),
        ("fe_sendauth: no password supplied", "check the password in the DSN"),
    ],
)
def test_what_was_refused_at_connecting_is_for_somebody_to_mend(said: str, remedy: str) -> None:
    for text in (f"{FAILED}{said}", f"{REFUSED}\n{FAILED}{said}"):
        error = explain(psycopg2.OperationalError(text), writing=True)
        assert (type(error), error.code, error.remedy) == (Permanent, "database", remedy)


def test_a_long_list_of_addresses_is_read_to_its_end() -> None:
    said = "\n".join([REFUSED] * 10 + [f"{FAILED}SSL error: certificate verify failed"])
    assert explain(psycopg2.OperationalError(said), writing=True).remedy == TLS


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = explain(psycopg2.OperationalError("a\n\tb " + 1_000 * "c"), writing=True)
    assert error.message.startswith("a b ccc")
    assert len(error.message) <= 300
