"""A process that reads a topic as a member of a group, commits, says so, and waits to be killed."""

from __future__ import annotations

import signal
import sys

from dataplatform.base.streaming import RedpandaSettings, Subscription, TopicSpec
from tests.base.streaming.clients import Clients
from tests.support.agents import Stage


def main(address: str, topic: str, group: str, instance: str, offset: str) -> None:
    subscription = Subscription((TopicSpec(topic, 1),), group, instance_id=instance)
    consumer = Clients(Stage()).consumer(RedpandaSettings((address,), light=True), subscription)
    consumer.read(10)
    consumer.commit(topic, int(offset))
    print("committed", offset, flush=True)  # noqa: T201
    signal.pause()


main(*sys.argv[1:])
