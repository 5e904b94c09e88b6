"""A message is either in the mailbox before its end, or refused: none is lost, no asker waits for ever."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from dataplatform.base.agent import Ready, Terminated
from dataplatform.base.agent.actor import Mailbox
from tests.support.agents import DEADLINE, Parent, Stage


class Bare(pykka.ThreadingActor):
    """An actor that is never started."""


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox(Bare())


def test_a_closed_mailbox_hands_over_what_was_in_it(mailbox: Mailbox) -> None:
    first, second = Envelope("first"), Envelope("second")
    mailbox.put(first)
    mailbox.put(second)
    assert mailbox.close() == [first, second]
    assert mailbox.empty()
    assert mailbox.close() == []


def test_a_closed_mailbox_refuses_a_notice(mailbox: Mailbox) -> None:
    mailbox.close()
    with pytest.raises(pykka.ActorDeadError):
        mailbox.put(Envelope("too late"))
    assert mailbox.empty()


def test_a_closed_mailbox_answers_a_question_at_once(mailbox: Mailbox) -> None:
    mailbox.close()
    answer: pykka.Future[Any] = pykka.ThreadingFuture()
    mailbox.put(Envelope("too late", reply_to=answer))
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=0)


def test_a_question_put_after_the_teardown_is_answered(stage: Stage, parent: Parent) -> None:
    gate = stage.gate()
    agent = stage.probe(on_close=gate)
    parent.expect(Ready)
    agent.stop(block=False)
    gate.reached()
    answer: pykka.Future[Any] = pykka.ThreadingFuture()
    agent.actor_inbox.put(Envelope("asked by one who had just seen the agent alive", reply_to=answer))
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=DEADLINE)
    gate.open()
    parent.expect(Terminated)
