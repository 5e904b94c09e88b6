"""Embedded servers: PostgreSQL and a Kafka broker as supervised child processes, for machines without either."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
    from dataplatform.base.embedded.broker import EmbeddedBroker, broker_address, broker_kind
    from dataplatform.base.embedded.datadir import DataDirectory
    from dataplatform.base.embedded.postgres import EmbeddedPostgres, postgres_dsn
else:
    __getattr__, __dir__ = face(__name__)

__all__ = ["DataDirectory", "EmbeddedBroker", "EmbeddedPostgres", "broker_address", "broker_kind", "postgres_dsn"]
