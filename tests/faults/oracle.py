"""The oracle: compares what was acknowledged with what is in the table and the dead letters, record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen

from tests.faults.producing import Ledger
from tests.faults.subjects import Identity, Subject

__all__ = ["Evidence", "Verdict", "judge"]

Letter: TypeAlias = tuple[int | None, int | None, bytes]
SHOWN = 5


@frozen
class Evidence:
    """What is there when everything has come to rest.

    `log` says how often the topic holds each record: an idempotent producer's broker holds it once. Without it (the
    topic is gone) once is assumed. `arrivals` are in the order in which rows were written.
    """

    arrivals: Sequence[Identity]
    stored: Sequence[Identity]
    unsound: int
    letters: Sequence[Letter]
    log: Mapping[Identity, int] | None = None


def _in_order(records: Iterable[Identity]) -> list[Identity]:
    return sorted(records)


@frozen
class Verdict:
    """Each list names the records it is about. All but the first three are empty where the promise was kept.

    lost: acknowledged, and in neither the table nor the dead letters. lost_by_broker: acknowledged, and not in the log.
    repeated: written more often than the log holds it. invented: in the table without having been sent. disordered:
    first written after a later record of its key. letters_lost, letters_wrong: poison without its dead letter, or one
    with other bytes. letters_repeated: more than one of the same input.
    """

    acknowledged: int
    poison: int
    letters: int
    lost: Sequence[Identity] = field(converter=_in_order)
    lost_by_broker: Sequence[Identity] = field(converter=_in_order)
    repeated: Sequence[Identity] = field(converter=_in_order)
    invented: Sequence[Identity] = field(converter=_in_order)
    disordered: Sequence[Identity] = field(converter=_in_order)
    letters_lost: Sequence[tuple[int, int]] = field(converter=_in_order)
    letters_wrong: Sequence[tuple[int, int]] = field(converter=_in_order)
    letters_repeated: Sequence[tuple[int, int]] = field(converter=_in_order)
    unsound: int = 0

    @property
    def faults(self) -> dict[str, Sequence[Identity]]:
        """What was not as promised, by name."""
        lists = ("lost", "lost_by_broker", "repeated", "invented", "disordered")
        letters = ("letters_lost", "letters_wrong", "letters_repeated")
        found = {name: getattr(self, name) for name in (*lists, *letters)}
        return {name: records for name, records in found.items() if records}

    def shown(self) -> str:
        """Return what is wrong in a line each, with the first few records; "" where nothing is."""
        lines = [f"{name}: {len(which)}, such as {list(which[:SHOWN])}" for name, which in self.faults.items()]
        return "\n".join([*lines, *([f"unsound: {self.unsound} rows"] if self.unsound else [])])


def judge(ledger: Ledger, evidence: Evidence, subject: Subject) -> Verdict:
    """Compare. A record whose acknowledgement never came may be there or not, but not twice."""
    refused, letters = _sorted_letters(evidence.letters, subject)
    written, stored = Counter(evidence.arrivals) | Counter(evidence.stored), set(evidence.stored)
    sent = ledger.acknowledged.keys() | ledger.uncertain
    log = evidence.log
    in_log = dict.fromkeys(sent, 1) if log is None else log
    return Verdict(
        acknowledged=len(ledger.acknowledged),
        poison=len(ledger.poison),
        letters=len(evidence.letters),
        lost=ledger.acknowledged.keys() - stored - refused.keys(),
        lost_by_broker=[] if log is None else ledger.acknowledged.keys() - log.keys(),
        repeated=_repeated(written, in_log) | (stored & refused.keys()) | {one for one, n in refused.items() if n > 1},
        invented=(stored | written.keys()) - sent,
        disordered=_disordered(evidence.arrivals, subject),
        letters_lost=ledger.poison.keys() - letters.keys(),
        letters_wrong=[place for place, raws in letters.items() if set(raws) != {ledger.poison.get(place)}],
        letters_repeated=[place for place, raws in letters.items() if len(raws) > 1],
        unsound=evidence.unsound,
    )


def _repeated(written: Mapping[Identity, int], in_log: Mapping[Identity, int]) -> set[Identity]:
    return {identity for identity, times in written.items() if times > max(1, in_log.get(identity, 1))}


def _disordered(arrivals: Iterable[Identity], subject: Subject) -> set[Identity]:
    """Return the records that came first after a later one of their key; what is repeated counts by its first time."""
    latest: dict[tuple[int, str], int] = {}
    seen: set[Identity] = set()
    found: set[Identity] = set()
    for identity in arrivals:
        if identity in seen:
            continue
        seen.add(identity)
        partition, number = identity
        key = partition, subject.name(identity)
        if number < latest.setdefault(key, number):
            found.add(identity)
        else:
            latest[key] = number
    return found


def _sorted_letters(
    letters: Collection[Letter], subject: Subject
) -> tuple[Counter[Identity], dict[tuple[int, int], list[bytes]]]:
    """Return the records that the database refused, and the bytes that were no records by their place in the topic."""
    refused: Counter[Identity] = Counter()
    malformed: dict[tuple[int, int], list[bytes]] = {}
    for partition, offset, raw in letters:
        if partition is None or offset is None:
            refused[subject.decode(raw)] += 1
        else:
            malformed.setdefault((partition, offset), []).append(raw)
    return refused, malformed
