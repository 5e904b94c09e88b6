"""Brokers for tests: the light one as a process that a test owns, and an Apache Kafka that all share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from dataplatform.base.embedded.broker import broker_serves, light_binary
from dataplatform.base.streaming import RedpandaSettings
from tests.faults.cluster import KafkaCluster
from tests.support.waiting import DEADLINE

HOST = "127.0.0.1"
GRACE = DEADLINE


class Contents(ABC):
    """What is in a broker, as whoever is not under test puts it there and finds it."""

    @property
    @abstractmethod
    def address(self) -> str: ...

    @property
    @abstractmethod
    def settings(self) -> RedpandaSettings:
        """Settings with time-outs that suit a test."""

    def create(self, topic: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        with closing(self.admin()) as admin:
            admin.create_topics(
                {topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}},
            )

    def delete(self, topic: str) -> None:
        with closing(self.admin()) as admin:
            admin.delete_topics([topic])

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.address)

    def put(self, topic: str, values: Sequence[bytes | None], partition: int = 0, key: bytes | None = b"k") -> None:
        """Append messages to a partition."""
        with closing(KafkaProducer(bootstrap_servers=self.address, acks="all", linger_ms=5)) as producer:
            for future in [producer.send(topic, value, key, partition=partition) for value in values]:
                future.get(timeout=GRACE)

    def put_at(self, topic: str, values: Mapping[int, bytes], partition: int = 0) -> None:
        """Append a message for each timestamp, in a batch of its own."""
        with closing(KafkaProducer(bootstrap_servers=self.address, acks="all")) as producer:
            for timestamp, value in values.items():
                producer.send(topic, value, b"k", partition=partition, timestamp_ms=timestamp).get(timeout=GRACE)

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        """Return all messages of a partition."""
        return [value for _, value in self.messages(topic, partition)]

    def messages(self, topic: str, partition: int = 0) -> list[tuple[bytes, bytes]]:
        """Return key and value of all messages of a partition."""
        place = TopicPartition(topic, partition)
        with closing(KafkaConsumer(bootstrap_servers=self.address, group_id=None)) as consumer:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end = consumer.end_offsets([place])[place]
            found: list[tuple[bytes, bytes]] = []
            while consumer.position(place) < end:
                found += [(message.key, message.value) for message in consumer.poll(1_000).get(place, [])]
            return found

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        with closing(KafkaConsumer(bootstrap_servers=self.address, group_id=group)) as consumer:
            offset: int | None = consumer.committed(TopicPartition(topic, partition))
            return offset


class Broker(Contents):
    """A running light broker, without replicas, log or mercy.

    Its clients wait `patience` seconds for an answer: a test that takes the broker away waits as long, each time.
    """

    def __init__(self, folder: Path, patience: float = DEADLINE / 2) -> None:
        self._patience = patience
        self._data, self._saved = folder / "light", folder / "saved"
        self._port = _free_port()
        self._process = self._started()

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def settings(self) -> RedpandaSettings:
        waits = self._patience
        return RedpandaSettings((self.address,), request_timeout=waits, delivery_timeout=1.5 * waits, light=True)

    def start(self) -> None:
        self._process = self._started()

    def stop(self) -> None:
        """Stop it in order; it saves all it has."""
        self._process.terminate()
        self._process.wait(GRACE)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(GRACE)

    def freeze(self) -> None:
        """Stop its threads; on return they all have stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def save(self) -> None:
        """Remember all that it holds now; to its clients this is a restart without a loss."""
        self.stop()
        shutil.rmtree(self._saved, ignore_errors=True)
        shutil.copytree(self._data, self._saved)
        self.start()

    def lose(self) -> None:
        """Kill it and start it again with what it held when it was saved, as if it had written nothing since."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.copytree(self._saved, self._data)
        self.start()

    def _started(self) -> subprocess.Popen[bytes]:
        options = ["--only", "kafka", "--data-dir", str(self._data), "--kafka-port", str(self._port)]
        command = [str(light_binary()), "start", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not broker_serves(HOST, self._port):
            assert process.poll() is None, "the light broker ended instead of starting"
        return process


class ApacheKafka(Contents):
    """One node of Apache Kafka, left alone by its tests."""

    def __init__(self, folder: Path) -> None:
        self._cluster = KafkaCluster(folder)
        self._cluster.start()

    @property
    def address(self) -> str:
        return self._cluster.address

    @property
    def settings(self) -> RedpandaSettings:
        return RedpandaSettings((self.address,), request_timeout=DEADLINE / 2, delivery_timeout=DEADLINE)

    def close(self) -> None:
        self._cluster.close()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
