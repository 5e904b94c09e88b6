"""How a database is reached."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.base.database.dsn import check_dsn, secrets_in

__all__ = ["TimescaleSettings"]

positive = validators.gt(0.0)


def _is_dsn(_settings: TimescaleSettings, _option: Attribute[str], dsn: Any) -> None:
    if not isinstance(dsn, str):
        raise TypeError("dsn: expected text")
    check_dsn(dsn)


@frozen
class TimescaleSettings:
    """A PostgreSQL or TimescaleDB server. Times in seconds, all shorter than a stop may take.

    `dsn` is libpq's connection string or URI (with `sslmode=…` for TLS), best given as `${DATABASE_URL}`; it is never
    shown. `pool` is how many connections, and so agents, there are.
    """

    dsn: str = field(
        repr=False,
        validator=_is_dsn,
        metadata={"help": "libpq connection string or URI, or 'embedded'", "secrets": secrets_in},
    )
    pool: int = field(
        default=2,
        validator=[validators.ge(1), validators.le(32)],
        metadata={"help": "how many connections, and so agents, there are"},
    )
    connect_timeout: float = field(default=3.0, validator=positive, metadata={"help": "seconds for connecting"})
    statement_timeout: float = field(default=4.0, validator=positive, metadata={"help": "seconds for one statement"})
    lock_timeout: float = field(
        default=3.0, validator=positive, metadata={"help": "seconds to wait for a lock that somebody else holds"}
    )
    application_name: str = field(
        default="dataplatform", metadata={"help": "how the connections are called at the server"}
    )
    write_strategy: str = field(
        default="copy",
        validator=validators.in_(["copy", "insert"]),
        metadata={"help": "how rows are written: 'insert' is for servers and proxies without COPY, and slower"},
    )
