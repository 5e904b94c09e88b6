"""Scenarios of the database: sessions ended, writes refused, locks held, rows refused, away while the topic fills."""

from __future__ import annotations

from contextlib import closing

import psycopg2

from tests.faults.oracle import Verdict
from tests.faults.registry import scenario
from tests.faults.waiting import until
from tests.faults.world import Scale, World

READ_ONLY, LOCKED = 8.0, 30.0  # seconds
AWAY = 15.0  # seconds, more than two sessions of a group's member; of a longer run, all the time that it takes
BOUND = 256 * 1024 * 1024  # bytes that a platform may have in memory while its database is away


@scenario(
    "every session ended by pg_terminate_backend, again and again", scale=Scale(faults=12, records=20_000, gap=1_500)
)
def sessions_ended(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            world.database.end_sessions()
            world.fault("pg_terminate_backend")
    return world.settle()


@scenario("the database read-only for a while", scale=Scale(faults=1, records=12_000))
def database_read_only(world: World) -> Verdict:
    alter = f'ALTER DATABASE "{world.database.name}" SET default_transaction_read_only = '
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            world.postgres.run(alter + "on")
            world.database.end_sessions()  # new ones have it
            world.passes(READ_ONLY)
            world.postgres.run(alter + "off")
            world.database.end_sessions()
            world.fault("read-only database")
    return world.settle()


@scenario("a lock held on the table for 30 s", scale=Scale(faults=1, records=12_000))
def table_locked(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with closing(psycopg2.connect(world.database.dsn())) as other, other, other.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {world.subject.table} IN ACCESS EXCLUSIVE MODE")
                world.passes(LOCKED)
            world.fault("lock of 30 s")
    return world.settle()


@scenario(
    "a constraint added that one record in a thousand violates",
    "those are dead letters, the others arrive once",
    scale=Scale(faults=1, records=15_000),
)
def constraint_added(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            check = f"CHECK (({world.subject.number}::bigint + 1) % 1000 <> 0) NOT VALID"
            world.database.query(f"ALTER TABLE {world.subject.table} ADD {check}")
            world.fault("constraint")
            world.flow()
    return world.settle()


@scenario(
    "the database away while the topic fills",
    "exactly once, in order; memory bounded, heartbeats go on, no rebalance",
    scale=Scale(faults=1, records=60_000, rate=8_000),
    soak=90.0,
)
def database_away(world: World) -> Verdict:
    """The group is in the same generation at the end: no member was missed for the length of a session."""
    with world.records():
        platform = world.new_platform()
        for _ in world.rounds():
            generation = world.kafka.generation(world.wiring.group)
            world.postgres.kill()
            world.fault("database away")
            world.passes(max(AWAY, world.scale.seconds))
            until(lambda: world.producing.ledger.sent() >= world.scale.records, "the topic fills", 600)
            world.postgres.start()
            world.database.back()
    world.arrives()
    peak, rebalances = platform.peak(), world.kafka.generation(world.wiring.group) - generation
    world.notes.update({"peak RSS in MiB": peak // 2**20, "rebalances": rebalances})
    assert generation > 0
    assert rebalances == 0
    assert peak < BOUND, f"{peak:,} bytes in memory"
    return world.settle()


@scenario(
    "one record in a hundred malformed, in ten ways",
    "those are dead letters with their bytes, the others arrive once",
    scale=Scale(faults=0, records=30_000),
    poison=0.01,
)
def poison(world: World) -> Verdict:
    with world.records():
        world.new_platform()
    verdict = world.settle()
    world.faults["malformed record"] = verdict.poison
    return verdict
