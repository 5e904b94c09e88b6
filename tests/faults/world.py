"""The world of one scenario: a topic and its producer, a database and its witness, platforms, and what befell them."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define, evolve, field

from tests.faults.cluster import KafkaCluster
from tests.faults.database import Database, Postgres
from tests.faults.destinations import SILENT, Destination, Output, Table
from tests.faults.oracle import Verdict, judge
from tests.faults.platforms import Platform, Wiring
from tests.faults.producing import Producing
from tests.faults.proxy import Proxy
from tests.faults.servers import Servers
from tests.faults.subjects import Identity, Subject
from tests.faults.waiting import until, while_progress

__all__ = ["Scale", "World"]

ARRIVAL = 150.0  # seconds without any progress after which what has not arrived counts as lost
numbers = itertools.count(1)


@define(frozen=True)
class Scale:
    """How large a scenario is: at least so many faults, seconds and records, the latter at `rate` a second.

    `gap` is how many rows arrive between two faults at most; how many it is each time, the dice say. `platforms` are
    as many members of the group, in a scenario that does not say itself how many it needs.
    """

    faults: int = 3
    records: int = 10_000
    rate: float = 6_000.0
    seconds: float = 0.0
    gap: int = 2_500
    platforms: int = 2


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
    destination: Destination
    topic: str
    producing: Producing
    wiring: Wiring
    subject: Subject
    database_network: Proxy  # between platforms and PostgreSQL, where the scenario asked for it
    faults: Counter[str] = field(factory=Counter)
    platforms: list[Platform] = field(factory=list)
    notes: dict[str, float] = field(factory=dict)
    read_log: bool = True  # False where the topic that was sent to is gone
    tell: Callable[[str], None] = lambda _: None
    begun: float = field(factory=time.monotonic)
    _known: int = 0

    @classmethod
    @contextmanager
    def of(
        cls,
        servers: Servers,
        seed: int,
        scale: Scale,
        subject: Subject,
        *,
        nodes: int = 1,
        poison: float = 0.0,
        network: bool = False,
        copied: bool = False,
    ) -> Iterator[Self]:
        """Make a topic and its producer, and a database with its tables or, where it is `copied`, another topic.

        `network` puts proxies before the servers.
        """
        servers.mend(nodes)
        dice = random.Random(seed)
        kafka, postgres, name = servers.kafka(nodes), servers.postgres(), f"faults-{next(numbers)}"
        kafka.create(name)
        database = postgres.database(name)
        with ExitStack() as stack:
            stack.callback(postgres.drop, name)
            folder = servers.folder / name
            folder.mkdir()
            proxy = Proxy(postgres.port, seed=seed)
            stack.callback(proxy.close)
            brokers = kafka.platform_address if network else kafka.address
            table = Table(database, subject, database.dsn(proxy.port if network else None))
            destination = Output(kafka, f"{name}-copied", subject) if copied else table
            stack.callback(destination.close)
            wiring = Wiring(brokers, name, subject.kind, destination.toml())
            producing = Producing(kafka.address, name, subject, random.Random(seed + 1), poison=poison)
            stack.callback(producing.close)
            destination.prepare(wiring.write(folder / "prepare.toml", None))
            world = cls(
                servers=servers,
                folder=folder,
                dice=dice,
                scale=scale,
                kafka=kafka,
                postgres=postgres,
                database=database,
                destination=destination,
                topic=name,
                producing=producing,
                wiring=wiring,
                subject=subject,
                database_network=proxy,
            )
            stack.callback(world._close)
            yield world

    # What there is

    def new_platform(self, *, static: bool = True, prefix: tuple[str, ...] = ()) -> Platform:
        """Start another platform, run by the `prefix`; a static member of the group is back at once after a kill."""
        name = f"platform-{len(self.platforms) + 1}"
        platform = Platform(name, self.folder / name, self.wiring, static, prefix)
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

    def flow(self, timeout: float = ARRIVAL) -> None:
        """Wait until some rows more have arrived, so that what comes next comes in the middle."""
        goal = self._rows() + self.dice.randint(1, self.scale.gap)
        self.awaits(lambda: self._rows() >= goal, "rows arrive", timeout)

    def flow_all(self, timeout: float = ARRIVAL) -> None:
        """Wait until all that was acknowledged is in the table or the dead letters."""
        self.awaits(self._all_there, "all arrives", timeout)

    def awaits(self, found: Callable[[], object], what: str, timeout: float = ARRIVAL) -> None:
        """Wait for what platforms are to do; where they do not, the error says what they were at."""
        try:
            until(found, what, timeout)
        except AssertionError as error:
            self.producing.check()
            raise AssertionError(f"{error}\n{self._who_runs()}") from error

    def passes(self, seconds: float) -> None:
        """Let a fault last; the platforms must live through it."""
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() >= end, "time passes", seconds + 1)

    def fault(self, name: str) -> None:
        """Count a fault that was injected, and tell of it."""
        self.faults[name] += 1
        since, rows = time.monotonic() - self.begun, self._rows()
        self.tell(f"{since:6.1f} s: {name}; {len(self.producing.ledger.acknowledged):,} acknowledged, {rows:,} arrived")

    @contextmanager
    def records(self) -> Iterator[None]:
        """Have records produced at the scale's rate in the block, and after it until there are enough of them."""
        with self.producing.at(self.scale.rate, enough=self.scale.records):
            yield
            until(lambda: self.producing.ledger.sent() >= self.scale.records, "all is sent", 600)

    def arrives(self, patience: float = ARRIVAL) -> None:
        """Wait until all has arrived, or nothing does any more."""
        until(self.producing.settled, "all is acknowledged", 150)
        while_progress(self._all_there, self._rows, patience)

    def settle(self, patience: float = ARRIVAL) -> Verdict:
        """Wait as `arrives` does, stop the platforms in order, and judge."""
        self.arrives(patience)
        for platform in self.platforms:
            if platform.runs:
                platform.stop()
        evidence = self.destination.evidence()
        log = self._log() if self.read_log else None
        return judge(self.producing.ledger, evolve(evidence, log=log), self.subject)

    def _rows(self) -> int:
        """Return how many rows arrived, as far as the destination has said."""
        with suppress(*SILENT):
            self._known = self.destination.begun()
        return self._known

    def _all_there(self) -> bool:
        """Tell whether table and dead letters have as many records, and inputs, as were acknowledged."""
        ledger = self.producing.ledger
        wanted = len(ledger.acknowledged) + len(ledger.poison)
        try:
            return self.destination.accounted() >= wanted
        except SILENT:
            return False

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
