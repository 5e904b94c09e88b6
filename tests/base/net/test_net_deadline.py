"""A connection is open, or given up, by its deadline: the name server's silence counts, and each address's."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from dataplatform.base.net.deadline import Deadline, Resolver, SlowNameError, open_connection
from tests.support.waiting import DEADLINE


def test_what_is_left_of_a_deadline_is_never_more_than_a_step_and_never_nothing() -> None:
    assert Deadline.after(DEADLINE, 3.0).left() == 3.0
    assert 0.0 < Deadline.after(DEADLINE, 10 * DEADLINE).left() <= DEADLINE
    over = Deadline.after(0.0, 3.0)
    assert over.has_passed
    with pytest.raises(TimeoutError):
        over.left()


def test_a_name_server_that_is_silent_holds_nobody_up_and_is_asked_once() -> None:
    asked: list[tuple[str, int]] = []
    answers = threading.Event()

    def silent(host: str, port: int) -> list[Any]:
        asked.append((host, port))
        answers.wait(DEADLINE)
        return ["the address"]

    resolver = Resolver(silent)
    for _ in range(3):
        with pytest.raises(SlowNameError, match=r"^broker\.example was not resolved"):
            resolver.resolve("broker.example", 9092, 0.05)
    assert asked == [("broker.example", 9092)]
    answers.set()
    assert resolver.resolve("broker.example", 9092, DEADLINE) == ["the address"]
    assert resolver.resolve("other.example", 9092, DEADLINE) == ["the address"]


def test_a_name_that_is_not_known_fails_as_ever_and_is_asked_again() -> None:
    resolver = Resolver(socket.getaddrinfo)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            resolver.resolve("nowhere.invalid", 9092, DEADLINE)


def test_the_first_address_that_takes_a_connection_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with open_connection("localhost", port, Deadline.after(DEADLINE, DEADLINE)) as line:
            assert line.getpeername()[1] == port


def test_a_refusal_is_told_as_one_and_no_connection_is_opened_after_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(TimeoutError):
            open_connection("127.0.0.1", port, Deadline.after(0.0, 1.0))
    with pytest.raises(ConnectionRefusedError):
        open_connection("127.0.0.1", port, Deadline.after(DEADLINE, DEADLINE))
