"""The database client: an agent that owns one connection, opened when needed and opened again when lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias, assert_never

import psycopg2
from attrs import frozen
from psycopg2.errors import ReadOnlySqlTransaction, UndefinedFunction, UndefinedTable
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from dataplatform.base.agent import Agent, Context, Timer
from dataplatform.base.database import positions
from dataplatform.base.database.connection import BoundedConnection, connect, explain
from dataplatform.base.database.queries import Probe, Query, Rows, RowsWritten, WriteRows
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.base.database.sizes import CountRows, MeasureStorage, counted, measured
from dataplatform.base.database.tables import ensure_positions, ensure_table
from dataplatform.base.database.writing import Portions, RowWriter
from dataplatform.base.position import ForgetPositions, Position, ReadPositions
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["TimescaleClient"]


@frozen
class TryAgain:
    """It is time to see whether the outage is over: nobody else may ask for a while."""


Message: TypeAlias = WriteRows | Query | CountRows | MeasureStorage | ReadPositions | ForgetPositions | Probe
CURSOR = "query"
SEVERAL = Permanent(  # several statements could end the read-only transaction
    "rejected", "there is a ';' within the query", remedy="one statement at a time; in a text, write chr(59)"
)
VERSION = "SELECT current_setting('server_version')"


class TimescaleClient(Agent):
    """Writes and reads one request at a time, each in its own transaction.

    A lost connection is a `Transient` failure; the next request connects anew. Tables that no
    migration has made are made when first written to over a connection, so a server that lost them, or a new one,
    needs nothing done by hand.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: TimescaleSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._connection: BoundedConnection | None = None
        self._writer = RowWriter(Portions(settings.statement_timeout, self._halved), settings.write_strategy)
        self._trying: Timer | None = None

    def receive(self, message: Message | TryAgain) -> Result[Any] | None:
        if isinstance(message, TryAgain):
            self._try_again()
            return None
        return self._carry_out(message)

    def _carry_out(self, message: Message) -> Result[Any]:
        try:
            answer = self._run(self._connected(), message)
        except psycopg2.Error as error:
            return self._failed(explain(error, writing=isinstance(message, WriteRows)))
        except PlatformError as error:
            return self._failed(error)
        except ValueError as error:  # invalid text: half a surrogate pair, NUL
            return self._failed(Permanent("rejected", f"not to be sent to PostgreSQL: {error}"))
        self.recover()
        return Success(answer)

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
        self._connection = None
        self._writer.forget()

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) != "server":
            return
        self.log.info("connection dropped", because=f"{name} restarted")
        self._close()  # the server died, and the connection with it

    def _run(self, conn: connection, message: Message) -> Any:
        match message:
            case WriteRows():
                return self._write(conn, message)
            case Query():
                return self._read(conn, message)
            case ReadPositions(reader):
                return self._positions(conn, lambda cursor: positions.read(cursor, reader))
            case ForgetPositions():
                return self._positions(conn, lambda cursor: positions.forget(cursor, message))
            case CountRows(tables):
                return counted(lambda query: self._query(conn, query.sql, query.parameters, query.most), tables)
            case MeasureStorage():
                return measured(lambda query: self._read(conn, query))
            case Probe():
                return self._query(conn, VERSION).rows[0][0]
            case _:
                assert_never(message)

    def _write(self, conn: connection, request: WriteRows) -> RowsWritten:
        written = self._writer.write(conn, request)
        self.count("rows", written.rows)
        return written

    def _positions(self, conn: connection, use: Callable[[Any], tuple[Position, ...]]) -> tuple[Position, ...]:
        ensure_positions(conn)
        with conn, conn.cursor() as cursor:
            return use(cursor)

    def _halved(self, table: str, rows: int) -> None:
        self.count("halved")
        self.log.warning(
            "a statement took too long, and is halved",
            table=table,
            rows=rows,
            remedy=f"if that lasts, raise statement_timeout ({self._settings.statement_timeout:g} s)",
        )

    def _read(self, conn: connection, query: Query) -> Rows:
        if ";" in query.sql:
            raise SEVERAL
        try:
            return self._query(conn, query.sql, query.parameters, query.most)
        except (UndefinedTable, UndefinedFunction) as error:
            if query.instead is not None:
                return self._read(conn, query.instead)
            if isinstance(error, UndefinedFunction) or not query.needs:
                raise
        with suppress(ReadOnlySqlTransaction):  # then the table is missing still
            for spec in query.needs:
                ensure_table(conn, spec)
        return self._query(conn, query.sql, query.parameters, query.most)

    def _query(self, conn: connection, sql: str, parameters: Mapping[str, Any] | None = None, most: int = 1) -> Rows:
        """Read through a cursor on the server, which sends no more rows than are asked for."""
        with conn:
            with conn.cursor() as plain:
                plain.execute("SET TRANSACTION READ ONLY")
            with conn.cursor(CURSOR) as cursor:
                cursor.execute(sql, parameters or None)
                rows = cursor.fetchmany(most)
                return Rows(tuple(column.name for column in cursor.description or ()), rows)

    def _connected(self) -> connection:
        if self._connection is None or self._connection.closed:
            self._close()
            self._connection = connect(self._settings, self.name)
            self._connection.waiting = self.busy_for
            self.count("connections")
        elif self._connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self._connection.rollback()
        return self._connection

    def _failed(self, error: PlatformError) -> Failure:
        self.count("failed")
        if error.code != "rejected":
            self._close()
            delay = self.backoff.next()
            self.degrade(error, delay)
            self._trying = self._trying or self.after(delay, TryAgain())
        return Failure(error)

    def _try_again(self) -> None:
        self._trying = None
        if self.is_degraded:
            self._carry_out(Probe())
