"""Every exception of psycopg2 says whether to try again, and what to do otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import errorcodes, errors

from dataplatform.base.database.errors import explain
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


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = explain(psycopg2.OperationalError("a\n\tb " + 1_000 * "c"), writing=True)
    assert error.message.startswith("a b ccc")
    assert len(error.message) <= 300
