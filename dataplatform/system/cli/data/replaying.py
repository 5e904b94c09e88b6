"""Writing the records of dead letters: decoded again, published, and marked once every target has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from attrs import define, field

from dataplatform.base.agent import Clock
from dataplatform.dsl.operations.operations import PublishBatch
from dataplatform.dsl.operations.proxy import WriterProxy
from dataplatform.dsl.records.types import DeadLetter
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, get_data
from dataplatform.system.cli.data.dead_letter_store import Addressee, DeadLetterStore, Mark, Opened, decoded_again
from dataplatform.system.cli.options import Patience

__all__ = ["Replayed", "Replaying"]

AT_ONCE = 500  # letters in one batch,
MOST_BYTES = 8 * 1024 * 1024  # or as many as hold so much
TIMEOUT = 30.0  # seconds


@define
class Replayed:
    """What became of letters: how many records were written, and why how many letters stay where they are."""

    written: int = 0
    kept: Counter[str] = field(factory=Counter)
    by_target: Counter[str] = field(factory=Counter)


@define
class Replaying:
    """Replays letters, batch by batch; what was done of it so far is in `done`.

    The order is what keeps each letter: written first, marked after. Killed in between, the next replay writes the
    same record again: a table has it once by its key, a topic twice.
    """

    box: DeadLetterStore
    addressee: Callable[[DeadLetter], Result[Addressee]]
    writers: Mapping[str, WriterProxy]
    patience: Patience
    clock: Clock
    done: Replayed = field(factory=Replayed)

    def replay(self, letters: Iterable[DeadLetter]) -> None:
        """Replay letters until there are no more; raises `PlatformError` in an outage, and after a signal."""
        for batch in _batches(_once(letters)):
            self.patience.go_on()
            for to, group in groupby(sorted(self._addressed(batch), key=_order), key=lambda pair: pair[0]):
                self._replay(to, [letter for _, letter in group])

    def _addressed(self, letters: Sequence[DeadLetter]) -> Iterator[tuple[Addressee, DeadLetter]]:
        for letter in letters:
            answer = self.addressee(letter)
            if isinstance(answer, Failure):
                self._keep(answer.error)
            else:
                yield answer.data, letter

    def _replay(self, to: Addressee, letters: list[DeadLetter]) -> None:
        opened = self._open(to, letters)
        for name in to.targets:
            opened = self._publish(name, opened)
        if opened:
            now = self.clock.now()
            self.box.mark([Mark(id=one.letter.id, time=now, targets=",".join(to.targets)) for one in opened])
            self.done.written += len(opened)

    def _open(self, to: Addressee, letters: list[DeadLetter]) -> list[Opened]:
        """Decode letters again; those that still cannot be stay."""
        opened, errors = decoded_again(to.kind, letters)
        for error in errors:
            self._keep(error)
        return opened

    def _publish(self, target: str, opened: list[Opened]) -> list[Opened]:
        """Write records, and return those that are durable."""
        if not opened:
            return []
        request = PublishBatch([one.record for one in opened])
        answer = self.patience.ask(partial(self.writers[target].ask, request, TIMEOUT))
        if isinstance(answer, Failure) and isinstance(answer.error, Permanent):
            for _ in opened:
                self._keep(answer.error)
            return []
        refused = {one.index: one.error for one in get_data(answer).refused}
        for error in refused.values():
            self._keep(error)
        self.done.by_target[target] += len(opened) - len(refused)
        return [one for index, one in enumerate(opened) if index not in refused]

    def _keep(self, error: PlatformError) -> None:
        self.done.kept[str(error)] += 1


def _order(pair: tuple[Addressee, DeadLetter]) -> tuple[str, tuple[str, ...]]:
    to, _ = pair
    return to.kind.name, to.targets


def _once(letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Leave out letters that stand twice: the same input that failed again."""
    seen: set[str] = set()
    for letter in letters:
        if letter.id not in seen:
            seen.add(letter.id)
            yield letter


def _batches(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter.raw)
        if len(batch) == AT_ONCE or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
