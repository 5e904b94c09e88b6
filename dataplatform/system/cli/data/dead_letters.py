"""`python -m dataplatform.system dead-letters list|show|replay|drop`: what could not be written, and to write it.

Dead letters for people and programs: counted, a line each, or one on a page.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import click
import msgspec
from attrs import define, field, frozen

from dataplatform.base.agent import Clock
from dataplatform.dsl.records.types import DeadLetter
from dataplatform.errors import Permanent
from dataplatform.suggestions import suggestion
from dataplatform.system.cli.data.dead_letter_store import DeadLetterStore, Dropping, Wanted, addressee, kept_letters
from dataplatform.system.cli.data.partial import at_work, only
from dataplatform.system.cli.data.replaying import Replayed, Replaying
from dataplatform.system.cli.options import LEFT_OVER, USAGE, Moment, Patience, common_options, framed, leave
from dataplatform.system.cli.running import Signals
from dataplatform.system.config.topology import SourceSpec, Topology
from dataplatform.system.platform.platform import Platform

__all__ = ["Tally", "as_json", "as_line", "as_page", "dead_letters_command"]

ASPECTS = ("origin", "stream", "error", "target")
ID = 12  # characters of an id in a list
WIDE = 16  # bytes in a line of hexadecimal
LONGEST = 100  # characters of an error in a list
MOST_TEXT = 4_000  # characters of a letter on a page,
MOST_DUMPED = 51 * WIDE  # or bytes in hexadecimal, which are about as many characters


@define
class Tally:
    """Letters counted by what went wrong where, and the latest of them."""

    counts: Counter[tuple[str, ...]] = field(factory=Counter)
    latest: deque[DeadLetter] = field(factory=deque)

    @classmethod
    def of(cls, letters: Iterable[DeadLetter], most: int) -> Self:
        """Count letters, each once, and keep the latest `most`."""
        tally, seen = cls(latest=deque(maxlen=most)), set[str]()
        for letter in letters:
            if letter.id not in seen:
                seen.add(letter.id)
                tally.counts[letter.origin, letter.stream, error_kind(letter), letter.target] += 1
                tally.latest.append(letter)
        return tally

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, the most frequent first, and the letters without their bytes."""
        counts = [dict(zip(ASPECTS, key, strict=True)) | {"count": n} for key, n in self.counts.most_common()]
        return {"count": self.counts.total(), "counts": counts, "letters": [as_line(one) for one in self.latest]}

    def lines(self) -> Iterator[str]:
        """Yield the same for people."""
        if not self.counts:
            yield "no dead letters"
            return
        yield from _columns([("COUNT", *map(str.upper, ASPECTS)), *_rows(self.counts)])
        yield ""
        yield from _columns([("ID", "TIME", "ORIGIN", "PLACE", "BYTES", "ERROR"), *map(_row, self.latest)])


def error_kind(letter: DeadLetter) -> str:
    """Return the code that the error begins with, such as `malformed`, `invalid` or `rejected`."""
    return letter.error.partition(":")[0][:40]


def as_line(letter: DeadLetter, *, whole: bool = False) -> dict[str, Any]:
    """Return a letter as JSON has it; its bytes only if it is to be `whole`."""
    shown = {
        "id": letter.id,
        "time": letter.time.isoformat(),
        "origin": letter.origin,
        "stream": letter.stream,
        "partition": letter.partition,
        "offset": letter.offset,
        "target": letter.target,
        "error": letter.error,
        "record_kind": letter.record_kind,
        "source_kind": letter.source_kind,
        "source": letter.source,
        "bytes": len(letter.raw),
    }
    return shown | ({"raw": letter.raw} if whole else {})


def as_json(value: Any) -> str:
    """Return indented JSON, bytes in base64."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def as_page(letter: DeadLetter) -> str:
    """Return a letter for people: the first of its bytes as text if that is printable, else in hexadecimal."""
    head = "\n".join(f"{name:<12}{value}" for name, value in as_line(letter).items() if value not in (None, ""))
    body, shown = _text(letter.raw)
    rest = len(letter.raw) - shown
    return f"{head}\n\n{body}" + (f"\n… {rest} more bytes; --raw writes them all" if rest else "")


def _text(raw: bytes) -> tuple[str, int]:
    """Return the beginning of the bytes in a legible form, and how many of them that is."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(one.isprintable() or one in "\n\t" for one in text):
        beginning = text[:MOST_TEXT]
        return beginning, len(beginning.encode())
    return _hexadecimal(raw[:MOST_DUMPED]), min(len(raw), MOST_DUMPED)


def _hexadecimal(raw: bytes) -> str:
    lines = []
    for place in range(0, len(raw), WIDE):
        part = raw[place : place + WIDE]
        legible = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{place:08x}  {part.hex(' '):<{3 * WIDE - 1}}  {legible}")
    return "\n".join(lines)


def _rows(counts: Counter[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    return ((str(count), *(part or "-" for part in key)) for key, count in counts.most_common())


def _row(letter: DeadLetter) -> tuple[str, ...]:
    place = f"{letter.stream}/{letter.partition}@{letter.offset}" if letter.offset is not None else letter.stream
    error = letter.error if len(letter.error) <= LONGEST else f"{letter.error[: LONGEST - 1]}…"
    return letter.id[:ID], f"{letter.time:%Y-%m-%d %H:%M:%S}Z", letter.origin, place or "-", str(len(letter.raw)), error


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


Command = TypeVar("Command", bound=Callable[..., Any])

HEXADECIMAL = re.compile("[0-9a-f]+")
SHOWN = 20
REASONS = 10
EXAMPLES = """\b
Examples:
  python -m dataplatform.system dead-letters list my.toml
  python -m dataplatform.system dead-letters show 3f9a my.toml --raw > input.json
  python -m dataplatform.system dead-letters replay my.toml --since 2h
  python -m dataplatform.system dead-letters drop 3f9a 77c0 my.toml
  python -m dataplatform.system dead-letters drop my.toml --origin topics --since 2h
"""


def _filters(command: Command) -> Command:
    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N of them only."),
        click.option("--since", type=Moment(), metavar="TIME", help="Those since a time (UTC), or an age such as 2h."),
        click.option("--stream", metavar="NAME", help="Those of one topic or kind of record."),
        click.option("--origin", metavar="SOURCE", help="Those of one source."),
    ):
        command = option(command)
    return command


@click.group("dead-letters", epilog=EXAMPLES)
def dead_letters_command() -> None:
    """Look at what could not be decoded or written, and write it after a fix, or drop it.

    They are where the topology sends them: by default in the topic crypto-dead-letters, without topics in the table
    dead_letters. No platform need run; where one runs on embedded servers, those are used.

    Exit status: 0 all went well; 1 letters stay, or a server cannot be reached; 2 wrong usage or configuration.
    """


@dead_letters_command.command("list", epilog=EXAMPLES)
@common_options
@_filters
@click.option("--replayed", is_flag=True, help="Also those that were replayed or dropped.")
@click.option("--json", "json_", is_flag=True, help="As one object of JSON.")
def list_command(
    topology: Path | None,
    *,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    origin: str | None,
    stream: str | None,
    since: datetime | None,
    limit: int | None,
    replayed: bool,
    json_: bool,
) -> None:
    """Count the dead letters by origin, stream, error and target, and show the latest twenty."""
    wanted = Wanted(origin, stream, since, replayed=replayed)
    with _open(topology, demo=demo, data_dir=data_dir, patience=patience) as desk:
        tally = Tally.of(islice(desk.box.letters(wanted), limit), most=SHOWN)
    click.echo(as_json(tally.as_dict()) if json_ else "\n".join(tally.lines()))


@dead_letters_command.command("show", epilog=EXAMPLES)
@click.argument("letter_id", metavar="ID")
@common_options
@click.option("--raw", is_flag=True, help="Write its bytes to standard output, and nothing else.")
@click.option("--json", "json_", is_flag=True, help="As one object of JSON, the bytes in base64.")
def show_command(
    topology: Path | None,
    *,
    letter_id: str,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    raw: bool,
    json_: bool,
) -> None:
    """Show one dead letter, replayed, dropped or not; the beginning of its ID will do."""
    if raw and json_:
        raise click.UsageError("--raw and --json exclude each other")
    with _open(topology, demo=demo, data_dir=data_dir, patience=patience) as desk:
        letters = {letter.id: letter for letter in desk.box.letters(Wanted(id=letter_id, replayed=True))}
    if len(letters) != 1:
        _refuse(letter_id, len(letters))
    _show(next(iter(letters.values())), raw=raw, json_=json_)


@dead_letters_command.command("replay", epilog=EXAMPLES)
@common_options
@_filters
@click.option("--id", "letter_id", default="", metavar="ID", help="The one whose id begins like this.")
@click.option("--to", metavar="TARGET", help="Write to this target instead of the one that lacks them.")
def replay_command(
    topology: Path | None,
    *,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    origin: str | None,
    stream: str | None,
    since: datetime | None,
    limit: int | None,
    letter_id: str,
    to: str | None,
) -> None:
    """Decode dead letters again and write them to the target that lacks them.

    One that fails again stays. One whose record is durable is marked as replayed, after that; so the command may be
    killed and given again. Then a table still has each record once, by its key; a topic may have some twice.
    """
    wanted = Wanted(origin, stream, since, letter_id)
    with _open(topology, demo=demo, data_dir=data_dir, patience=patience, to=to, writing=True) as desk:
        replaying = desk.replaying(to)
        try:
            replaying.replay(islice(desk.box.letters(wanted), limit))
        finally:
            _tell(replaying.done)
        if not (replaying.done.written or replaying.done.kept):
            _tell_why_none(desk.box, wanted)
    sys.exit(LEFT_OVER if replaying.done.kept else 0)


@dead_letters_command.command("drop", epilog=EXAMPLES)
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@common_options
@_filters
def drop_command(
    topology: Path | None,
    *,
    letter_ids: tuple[str, ...],
    demo: bool,
    data_dir: Path | None,
    patience: float,
    origin: str | None,
    stream: str | None,
    since: datetime | None,
    limit: int | None,
) -> None:
    """Drop dead letters that nobody wants: those with an ID, or all that the filters choose.

    The beginning of an ID will do. They are marked, not removed: `list` and `replay` leave them out for good, and
    `list --replayed` and `show` have them for as long as their store keeps them.
    """
    ids, path = _told_apart(letter_ids, topology)
    wanted = Wanted(origin, stream, since)
    if not ids and wanted == Wanted():
        raise click.UsageError("say which letters to drop: an ID, --origin, --stream or --since")
    with _open(path, demo=demo, data_dir=data_dir, patience=patience) as desk:
        dropping = Dropping(desk.box, desk.clock, ids)
        dropping.choose(islice(desk.box.letters(wanted), limit))
        for letter_id, count in dropping.unclear():
            _refuse(letter_id, count)
        dropped = dropping.drop()
        click.echo(f"dropped {dropped}")
        if not dropped:
            _tell_why_none(desk.box, wanted)


@frozen
class Desk:
    """The letters of a topology, and what it takes to replay them."""

    topology: Topology
    platform: Platform
    box: DeadLetterStore
    patience: Patience

    @property
    def clock(self) -> Clock:
        return self.platform.runtime.clock

    def replaying(self, to: str | None) -> Replaying:
        """Return what replays letters into `to`, by default into the targets that lack them."""
        writers = {name: self.platform[name] for name in self.platform.topology.targets}
        where = partial(addressee, topology=self.topology, to=to)
        return Replaying(self.box, where, writers, self.patience, self.clock)


@contextmanager
def _open(
    path: Path | None,
    *,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    to: str | None = None,
    writing: bool = False,
) -> Iterator[Desk]:
    """Yield the letters of a topology; with the targets to write to where it is for `writing`."""
    with framed(path) as topology, Signals.watch() as signals:
        kept = kept_letters(topology)
        parts = _parts(topology, kept.sources, to, writing=writing)
        with at_work(parts, demo=demo, data_dir=data_dir, writing=writing) as platform:
            patient = Patience(patience, signals.came)
            yield Desk(topology, platform, kept.open(platform, patient), patient)


def _parts(topology: Topology, sources: Mapping[str, SourceSpec], to: str | None, *, writing: bool) -> Topology:
    """Return what is needed of the topology: the target of the dead letters, and for writing the others."""
    if to is not None and to not in topology.targets:
        raise Permanent("unknown_target", f"--to: no target is called {to!r}{suggestion(to, topology.targets)}")
    others = ([to] if to else list(topology.targets)) if writing else []
    return only(topology, dict.fromkeys([str(topology.dead_letters), *others]), sources)


def _told_apart(words: tuple[str, ...], last: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Return the IDs and the topology: an argument in the topology's place that is hexadecimal is an ID."""
    if last is not None and HEXADECIMAL.fullmatch(str(last)):
        return (*words, str(last)), None
    return words, last


def _refuse(letter_id: str, count: int) -> NoReturn:
    several = f"there are {count}; give more of the id" if count else "there is none; see the list"
    leave(USAGE, f"no single dead letter begins with {letter_id!r}: {several}")


def _show(letter: DeadLetter, *, raw: bool, json_: bool) -> None:
    if raw:
        click.echo(letter.raw, nl=False)
    else:
        click.echo(as_json(as_line(letter, whole=True)) if json_ else as_page(letter))


def _tell(done: Replayed) -> None:
    """Print what became of the letters."""
    where = ", ".join(f"{count} in {target}" for target, count in sorted(done.by_target.items()))
    click.echo(f"replayed {done.written}" + (f" ({where})" if where else ""))
    if kept := done.kept.total():
        click.echo(f"kept {kept}", err=True)
        shown = done.kept.most_common(REASONS)
        for reason, count in shown:
            click.echo(f"  {count}  {reason}", err=True)
        if others := kept - sum(count for _, count in shown):
            click.echo(f"  … and {others} others", err=True)


def _tell_why_none(box: DeadLetterStore, wanted: Wanted) -> None:
    """Say so where the origin or the stream that was asked for is that of no letter, and which there are."""
    if wanted.origin is None and wanted.stream is None:
        return
    origins, streams = set[str](), set[str]()
    for letter in box.letters(Wanted()):
        origins.add(letter.origin)
        streams.add(letter.stream)
    for what, name, known in (("origin", wanted.origin, origins), ("stream", wanted.stream, streams)):
        if name is not None and name not in known:
            others = f"; there are {', '.join(sorted(known))}" if known else "; there are no dead letters"
            click.echo(f"no dead letter has the {what} {name!r}{others}", err=True)
