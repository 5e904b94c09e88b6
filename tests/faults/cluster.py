"""Apache Kafka in KRaft mode that a test owns: one node, or three with replication 3 and min.insync 2."""

from __future__ import annotations

import base64
import os
import random
import shutil
import socket
import struct
import subprocess
import uuid
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from dataplatform.base.embedded.broker import Kafka, broker_serves, find_kafka
from tests.faults.waiting import until
from tests.support.kafka import fetched_kafka

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

__all__ = ["KafkaCluster", "Node"]

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # below those of outgoing connections, which would take a dead node's port
GROUPS, GROUP = "__consumer_offsets", 2  # the brokers' topic on groups, and the version of the keys that name one
JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=OWN://127.0.0.1:{own},PLATFORM://127.0.0.1:{platform},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=OWN://127.0.0.1:{own},PLATFORM://localhost:{advertised}
listener.security.protocol.map=OWN:PLAINTEXT,PLATFORM:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=OWN
log.dirs=kafka
default.replication.factor={replication}
min.insync.replicas={insync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replication}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={insync}
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.min.isr={insync}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
replica.lag.time.max.ms=5000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=2097152
log.segment.delete.delay.ms=1000
"""


@frozen
class Ports:
    """The ports of a node: `own` for brokers and whoever is not under test, `platform` for the platform.

    Clients that come by `platform` are told to come to `advertised`, where a proxy may stand; else it is the same.
    """

    own: int
    platform: int
    advertised: int
    controller: int


@define(eq=False)
class Node:
    """One node, combined broker and controller, run in `home`."""

    number: int
    home: Path
    ports: Ports
    _command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.ports.own}"

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=self.home, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def ended(self) -> bool:
        """Tell whether it has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"Kafka ended by itself: {self.home / 'log'}"
        return broker_serves(HOST, self.ports.own)


@define(eq=False)
class KafkaCluster:
    """The nodes, by number from 1; their data is in `folder`.

    `proxied` are ports, a node each, that clients by the listener `platform` are sent to in place of the node's own.
    """

    folder: Path
    size: int = 1
    proxied: Sequence[int] = ()
    nodes: list[Node] = field(factory=list)

    def start(self) -> None:
        """Format the nodes' folders, one by Kafka and the others as its copies, and start them all."""
        kafka = _kafka()
        ports = [self._ports(number) for number in range(self.size)]
        voters = ",".join(f"{number}@{HOST}:{one.controller}" for number, one in enumerate(ports, 1))
        for number, one in enumerate(ports, 1):
            home = self.folder / f"node-{number}"
            home.mkdir(parents=True, exist_ok=True)
            (home / "server.properties").write_text(self._properties(number, one, voters))
            command = (str(kafka.java), *JVM, *kafka.server_command(home)[-4:])
            self.nodes.append(Node(number, home, one, command))
        self._format(kafka)
        for node in self.nodes:
            node.start()
        self.serves()

    def mend(self) -> None:
        """Start the nodes that do not run."""
        dead = [node for node in self.nodes if node.process is None or node.ended()]
        for node in dead:
            node.start()
        if dead:
            self.serves()

    def close(self) -> None:
        for node in self.nodes:
            node.kill()

    @property
    def address(self) -> str:
        """The bootstrap addresses for whoever is not under test."""
        return ",".join(node.address for node in self.nodes)

    @property
    def platform_address(self) -> str:
        """The same for platforms, by name."""
        return ",".join(f"localhost:{node.ports.advertised}" for node in self.nodes)

    def serves(self, timeout: float = 60.0) -> None:
        """Wait until every node serves and knows of all the others."""
        running = [node for node in self.nodes if node.process is not None]
        until(lambda: all(node.serves() for node in running), "Kafka serves", timeout)
        until(lambda: self._known() >= len(running), "the nodes know each other", timeout)

    # What is in it

    def create(self, topic: str, partitions: int = 4) -> None:
        """Create a topic, as soon as there are enough nodes for its replicas."""

        def created() -> bool:
            try:
                with closing(self.admin()) as admin:
                    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": self.replication}})
            except KafkaError as error:
                if type(error).__name__ == "TopicAlreadyExistsError":
                    return self.leader(topic, partitions - 1) is not None
            return False

        until(created, f"{topic} is created")

    def delete(self, topic: str) -> None:
        with closing(self.admin()) as admin:
            admin.delete_topics([topic])
        until(lambda: self.leader(topic) is None, f"{topic} is deleted")

    def grow(self, topic: str, partitions: int) -> None:
        """Raise the number of partitions."""
        with closing(self.admin()) as admin:
            admin.create_partitions({topic: partitions})
        until(lambda: self.leader(topic, partitions - 1) is not None, f"{topic} has {partitions} partitions")

    def leader(self, topic: str, partition: int = 0) -> Node | None:
        """Return the node that leads a partition; None where nobody does, or there is no such partition."""
        with closing(self.admin()) as admin:
            for described in admin.describe_topics([topic]):
                for one in described["partitions"]:
                    if one["partition_index"] == partition and one["leader_id"] > 0:
                        return self.nodes[int(one["leader_id"]) - 1]
        return None

    def leading(self, topic: str, partition: int = 0) -> Node:
        """Return the node that leads a partition, once there is one."""
        leader = until(lambda: self.leader(topic, partition), f"{topic}/{partition} has a leader")
        assert leader is not None
        return leader

    def in_sync(self, topic: str) -> bool:
        """Tell whether each partition has all its replicas in sync."""
        with closing(self.admin()) as admin:
            (described,) = admin.describe_topics([topic])
            return all(len(one["isr_nodes"]) == self.replication for one in described["partitions"])

    def messages(self, topic: str, timeout: float = 60.0) -> list[tuple[int, int, bytes | None]]:
        """Return partition, offset and value of every message of a topic, in the order of each partition.

        There are none where there is no topic.
        """
        return [(one.partition, one.offset, one.value) for one in self._log(topic, timeout)]

    def generation(self, group: str) -> int:
        """Return the generation that a consumer group is in, as the brokers have written it down: rebalances so far."""
        seen = 0
        for message in self._log(GROUPS):
            version, name = _text(message.key)
            if version == GROUP and name == group and message.value is not None:
                _, protocol = _text(message.value)
                (generation,) = struct.unpack_from(">i", message.value, 4 + len(protocol))
                seen = max(seen, generation)
        return seen

    def _log(self, topic: str, timeout: float = 60.0) -> list[Any]:
        """Return all that is in a topic; nothing where there is none."""
        found: list[Any] = []
        with closing(KafkaConsumer(bootstrap_servers=self.address.split(","), group_id=None)) as consumer:
            places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            if not places:
                return []
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places)

            def read() -> bool:
                for some in consumer.poll(200, max_records=10_000).values():
                    found.extend(some)
                return all(consumer.position(place) >= ends[place] for place in places)

            until(read, f"{topic} is read", timeout)
        return found

    def admin(self) -> Any:
        return KafkaAdminClient(bootstrap_servers=[node.address for node in self.nodes if node.process is not None])

    @property
    def replication(self) -> int:
        return min(3, self.size)

    def _known(self) -> int:
        with closing(self.admin()) as admin:
            return len(admin.describe_cluster()["brokers"])

    # Making it

    def _ports(self, number: int) -> Ports:
        own, platform, controller = _free_ports(3)
        return Ports(own, platform, self.proxied[number] if self.proxied else platform, controller)

    def _properties(self, number: int, ports: Ports, voters: str) -> str:
        return PROPERTIES.format(
            node=number,
            voters=voters,
            own=ports.own,
            platform=ports.platform,
            advertised=ports.advertised,
            controller=ports.controller,
            replication=self.replication,
            insync=2 if self.size > 1 else 1,
        )

    def _format(self, kafka: Kafka) -> None:
        """Have Kafka format the first node's folder: that takes a JVM's start, copying it none."""
        first = self.nodes[0]
        subprocess.run(kafka.format_command(first.home), cwd=first.home, check=True, capture_output=True, timeout=60)
        for node in self.nodes[1:]:
            data = node.home / "kafka"
            shutil.copytree(first.home / "kafka", data)
            meta = data / "meta.properties"
            lines = [line for line in meta.read_text().splitlines() if not line.startswith(("directory.id", "node.id"))]
            meta.write_text("\n".join([*lines, f"node.id={node.number}", f"directory.id={_identifier()}", ""]))


def _identifier() -> str:
    """Return a random UUID as Kafka writes it: 22 characters of URL-safe base64."""

    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def _text(raw: bytes) -> tuple[int, str]:
    """Return the version that a key or value begins with, and the text after it."""
    version, length = struct.unpack_from(">hh", raw)
    return version, raw[4 : 4 + length].decode()


def _kafka() -> Kafka:
    home, reason = fetched_kafka()
    assert home is not None, reason
    found = find_kafka({**os.environ, "KAFKA_HOME": str(home)})
    assert found is not None, f"{home} is no Apache Kafka"
    return found


def _free_ports(count: int) -> list[int]:
    ports = random.sample(PORTS, len(PORTS))
    return [port for port in ports[: count * 20] if _is_free(port)][:count]


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
