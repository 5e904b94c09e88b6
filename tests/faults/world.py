"""The world of one scenario: a topic and its producer, a database and its witness, platforms, and what befell them."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psycopg2
from attrs import define, field

from tests.faults.cluster import KafkaCluster
from tests.faults.database import Database, Postgres
from tests.faults.oracle import Evidence, Verdict, judge
from tests.faults.platforms import Platform, Wiring, migrate
from tests.faults.producing import Producing
from tests.faults.proxy import Proxy
from tests.faults.subjects import PRICES, Identity, Subject
from tests.faults.waiting import until, while_progress

__all__ = ["Scale", "Servers", "Unfit", "World"]

DISK, PAGE = "2g", 4096  # a small disk, and what is left of a full one
ARRIVAL = 60.0  # seconds without any progress after which what has not arrived counts as lost
numbers = itertools.count(1)


class Unfit(Exception):
    """This machine, or this user of it, cannot have the fault; says why."""


@define(frozen=True)
class Scale:
    """How large a scenario is: at least so many faults, seconds and records, the latter at `rate` a second."""

    faults: int = 3
    records: int = 10_000
    rate: float = 4_000.0
    seconds: float = 0.0


@define(eq=False)
class Servers:
    """Brokers and PostgreSQL, started when first asked for, and shared by scenarios that bring them back to life.

    Their sockets' folder has a short path, whoever may enter.
    """

    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp")))
    proxies: dict[int, list[Proxy]] = field(factory=dict)
    _disks: list[Path] = field(factory=list)
    _clusters: dict[int, KafkaCluster] = field(factory=dict)
    _postgres: Postgres | None = None

    def kafka(self, nodes: int = 1) -> KafkaCluster:
        """Return the cluster of so many nodes; its listener for platforms is behind a proxy a node."""
        if nodes not in self._clusters:
            proxies = self.proxies.setdefault(nodes, [Proxy() for _ in range(nodes)])
            home = self.folder / f"kafka-{nodes}"
            self._small_disk(home / "node-1")
            cluster = KafkaCluster(home, nodes, [proxy.port for proxy in proxies])
            self._clusters[nodes] = cluster
            cluster.start()
            for proxy, node in zip(proxies, cluster.nodes, strict=True):
                proxy.target = node.ports.platform
        return self._clusters[nodes]

    def postgres(self) -> Postgres:
        if self._postgres is None:
            self.folder.chmod(0o711)
            home = self.folder / "postgres"
            self._small_disk(home)
            self._postgres = Postgres(home)
        return self._postgres

    def _small_disk(self, home: Path) -> None:
        """Make a folder, on a disk of its own where this user may mount one."""
        home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            ran = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(home)], check=False)
            if ran.returncode == 0:
                self._disks.append(home)

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for disk in self._disks:
                stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
            for proxy in itertools.chain.from_iterable(self.proxies.values()):
                stack.callback(proxy.close)
            for cluster in self._clusters.values():
                stack.callback(cluster.close)
            if self._postgres is not None:
                stack.callback(self._postgres.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@define(eq=False)
class World:
    """What a scenario acts on. Everything random in it comes from `dice`."""

    servers: Servers
    folder: Path
    dice: random.Random
    scale: Scale
    kafka: KafkaCluster
    postgres: Postgres
    database: Database
    topic: str
    producing: Producing
    wiring: Wiring
    database_network: Proxy  # between platforms and PostgreSQL, where the scenario asked for it
    subject: Subject = PRICES
    faults: Counter[str] = field(factory=Counter)
    platforms: list[Platform] = field(factory=list)
    notes: dict[str, float] = field(factory=dict)
    excused: set[Identity] = field(factory=set)  # known to be gone with a topic: missing, but not lost in silence
    read_log: bool = True
    tell: Callable[[str], None] = lambda _: None
    begun: float = field(factory=time.monotonic)

    @classmethod
    @contextmanager
    def of(
        cls, servers: Servers, seed: int, scale: Scale, *, nodes: int = 1, poison: float = 0.0, network: bool = False
    ) -> Iterator[Self]:
        """Make a topic, a database with its tables, and a producer; `network` puts proxies before the servers."""
        dice = random.Random(seed)
        kafka, postgres, name = servers.kafka(nodes), servers.postgres(), f"faults-{next(numbers)}"
        kafka.create(name)
        database = postgres.database(name)
        with ExitStack() as stack:
            stack.callback(postgres.drop, name)
            stack.callback(database.disconnect)
            folder = servers.folder / name
            folder.mkdir()
            proxy = Proxy(postgres.port, seed=seed)
            stack.callback(proxy.close)
            brokers = kafka.platform_address if network else kafka.address
            wiring = Wiring(brokers, database.dsn(proxy.port if network else None), name)
            producing = Producing(kafka.address, name, PRICES, dice, poison=poison)
            stack.callback(producing.close)
            world = cls(servers, folder, dice, scale, kafka, postgres, database, name, producing, wiring, proxy)
            stack.callback(world._close)
            migrate(wiring.write(folder / "migrate.toml", None))
            database.watch(PRICES)
            yield world

    # What there is

    def new_platform(self, *, static: bool = True) -> Platform:
        """Start another platform; a static member of the group is back in it at once after a kill."""
        name = f"platform-{len(self.platforms) + 1}"
        platform = Platform(name, self.folder / name, self.wiring, static)
        self.platforms.append(platform)
        platform.start()
        return platform

    @property
    def broker_network(self) -> list[Proxy]:
        """The proxies between platforms and brokers, one a node, where the scenario asked for them."""
        return self.servers.proxies[self.kafka.size]

    @property
    def networks(self) -> list[Proxy]:
        return [*self.broker_network, self.database_network]

    # What happens

    def rounds(self) -> Iterator[int]:
        """Number the faults to be injected, each after some rows have arrived, until the scale is reached."""
        for number in itertools.count():
            enough = number >= self.scale.faults and time.monotonic() - self.begun >= self.scale.seconds
            if enough:
                return
            self.flow()
            yield number

    def flow(self, most: int = 0, timeout: float = ARRIVAL) -> None:
        """Wait until some rows more have arrived, at most `most`, so that what comes next comes in the middle."""
        share = most or max(1, 3 * self.scale.records // (2 * max(1, self.scale.faults)))
        goal = self.database.begun() + self.dice.randint(1, share)
        try:
            until(lambda: self.database.begun() >= goal, "rows arrive", timeout)
        except AssertionError as error:
            self.producing.check()
            raise AssertionError(f"{error}\n{self._who_runs()}") from error

    def flow_all(self, timeout: float = ARRIVAL) -> None:
        """Wait until all that was acknowledged is in the table or the dead letters."""
        ledger = self.producing.ledger
        until(lambda: self._accounted() >= len(ledger.acknowledged) + len(ledger.poison), "all arrives", timeout)

    def passes(self, seconds: float) -> None:
        """Let a fault last; the platforms must live through it."""
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() >= end, "time passes", seconds + 1)

    def end_sessions(self) -> None:
        """Have PostgreSQL end every session in the database, the oracle's as well."""
        self.database.disconnect()
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
        self.postgres.run(f"{end}'{self.database.name}'")

    @contextmanager
    def disk_full(self, home: Path) -> Iterator[None]:
        """Leave no room on a server's small disk in the block; raises `Unfit` where it has none."""
        if not home.is_mount():
            raise Unfit("a small disk is a tmpfs, which only root may mount")
        ballast = home / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(home).free - PAGE)
        try:
            yield
        finally:
            ballast.unlink()

    def fault(self, name: str) -> None:
        """Count a fault that was injected, and tell of it."""
        self.faults[name] += 1
        since, rows = time.monotonic() - self.begun, self._rows()
        self.tell(f"{since:6.1f} s: {name}; {len(self.producing.ledger.acknowledged):,} acknowledged, {rows:,} arrived")

    @contextmanager
    def records(self) -> Iterator[None]:
        """Have records produced at the scale's rate in the block, and after it until there are enough of them."""
        with self.producing.at(self.scale.rate):
            yield
            until(lambda: self.producing.ledger.sent() >= self.scale.records, "all is sent", 600)

    def settle(self, patience: float = ARRIVAL) -> Verdict:
        """Wait until all has arrived, or nothing does any more; stop the platforms in order, and judge."""
        until(self.producing.settled, "all is acknowledged", 150)
        ledger = self.producing.ledger
        wanted = len(ledger.acknowledged) - len(self.excused)
        self.notes["arrived"] = while_progress(
            lambda: self._accounted() >= wanted + len(ledger.poison), self.database.begun, patience
        )
        for platform in self.platforms:
            if platform.runs:
                platform.resident()
                platform.stop()
        return judge(ledger, self._evidence(), self.subject)

    def _rows(self) -> int:
        """Return how many rows arrived; 0 where the database does not say."""
        try:
            return self.database.begun()
        except psycopg2.Error:
            return 0

    def _accounted(self) -> int:
        ((letters,),) = self.database.query("SELECT count(*) FROM dead_letters")
        return self.database.count(self.subject) + int(letters)

    def _evidence(self) -> Evidence:
        database = self.database
        return Evidence(
            database.arrivals(),
            database.stored(self.subject),
            database.unsound(self.subject),
            database.letters(),
            self._log() if self.read_log else None,
        )

    def _log(self) -> Mapping[Identity, int]:
        """Return how often the topic holds each record."""
        poison, decode = self.producing.ledger.poison, self.subject.decode
        messages = self.kafka.messages(self.topic)
        return Counter(decode(raw) for number, offset, raw in messages if (number, offset) not in poison)

    def _who_runs(self) -> str:
        """Return what the platforms said last, and what those that run are at; it ends them."""
        said = [f"{platform.name} said last:\n{platform.last_words()}" for platform in self.platforms]
        at = [f"{platform.name} was at:\n{platform.stacks()}" for platform in self.platforms if platform.runs]
        return "\n".join(said + at)

    def _close(self) -> None:
        for platform in self.platforms:
            platform.close()
