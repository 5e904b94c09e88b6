"""How brokers are reached, and what a topic is made of."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from dataplatform.base.streaming.addresses import parse_brokers
from dataplatform.base.streaming.security import PROTOCOLS, check_credential, check_file, check_protocol
from dataplatform.base.streaming.starts import EARLIEST, Start, as_start

__all__ = ["RedpandaSettings", "Subscription", "TopicSpec"]

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MOST_BYTES = 2**31 - 1


@frozen
class RedpandaSettings:
    """A Redpanda or Kafka cluster. Times in seconds, all shorter than a stop may take.

    `light` says that the broker is the embedded stand-in, which answers an empty fetch at once.
    """

    brokers: tuple[str, ...] = field(
        converter=parse_brokers, metadata={"help": "['host:port', …], or 'embedded'", "may_hold_secret": True}
    )
    security_protocol: str = field(
        default="PLAINTEXT",
        validator=[validators.in_(PROTOCOLS), check_protocol],
        metadata={"help": f"how the brokers are spoken to: {', '.join(PROTOCOLS)}"},
    )
    sasl_mechanism: str | None = field(
        default=None,
        validator=[validators.optional(validators.in_(MECHANISMS)), check_credential],
        metadata={"help": f"how the user is authenticated: {', '.join(MECHANISMS)}"},
    )
    username: str | None = field(default=None, validator=check_credential, metadata={"help": "the user, with SASL"})
    password: str | None = field(
        default=None, repr=False, validator=check_credential, metadata={"help": "the user's password, with SASL"}
    )
    ca_file: str | None = field(
        default=None, validator=check_file, metadata={"help": "certificates that vouch for the brokers, with TLS"}
    )
    cert_file: str | None = field(
        default=None, validator=check_file, metadata={"help": "the client's own certificate, with TLS"}
    )
    key_file: str | None = field(
        default=None, validator=check_file, metadata={"help": "the key of the client's own certificate"}
    )
    compression: str = field(
        default="lz4",
        validator=validators.in_(("lz4", "gzip", "none")),
        metadata={"help": "how messages are compressed: lz4, gzip or none"},
    )
    request_timeout: float = field(
        default=3.0, validator=validators.gt(0.0), metadata={"help": "seconds for one request to a broker"}
    )
    delivery_timeout: float = field(
        default=4.0, validator=validators.gt(0.0), metadata={"help": "seconds for a message to be acknowledged"}
    )
    light: bool = field(default=False, metadata={"help": "the broker is the embedded stand-in"})

    @property
    def milliseconds(self) -> int:
        """The request time-out as kafka-python takes it."""
        return round(self.request_timeout * 1000)

    def common(self, client_id: str) -> dict[str, Any]:
        """Return the settings that every kafka-python client takes."""
        return {
            "bootstrap_servers": list(self.brokers),
            "client_id": client_id,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ca_file,
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
            "bootstrap_timeout_ms": self.milliseconds,
            "request_timeout_ms": self.milliseconds,
            "reconnect_backoff_max_ms": 1000,
            "metadata_max_age_ms": 15_000,  # so soon are new partitions found
            "receive_message_max_bytes": MOST_BYTES,
        }


@frozen
class TopicSpec:
    """A topic and the settings it is created with; one that exists is used as it is."""

    name: str
    partitions: int = field(default=4, validator=validators.ge(1))
    replication: int = field(default=-1, metadata={"help": "-1 is the broker's default"})
    retention: float = field(default=7 * 86400.0, validator=validators.gt(0.0), metadata={"help": "seconds"})
    max_message_bytes: int = field(default=1024 * 1024, validator=validators.ge(1024))

    @property
    def configs(self) -> dict[str, str]:
        return {
            "retention.ms": str(round(self.retention * 1000)),
            "max.message.bytes": str(self.max_message_bytes),
        }


@frozen
class Subscription:
    """Which topics are read, by which group, and where a group that has committed nothing begins.

    `instance_id` makes a static member of the group: after a restart within `session_timeout` seconds it gets its
    partitions back at once. Two processes must not share one. `keepers` are the agents that keep positions of their
    own, and are asked for them where partitions are assigned. A partition that has messages, is asked for them and
    gives none for `stall_after` seconds is shown, and positioned anew.
    """

    topics: tuple[TopicSpec, ...]
    group: str
    instance_id: str | None = None
    start: Start = field(default=EARLIEST, converter=as_start)
    session_timeout: float = field(default=30.0, validator=validators.gt(0.0))
    keepers: tuple[str, ...] = ()
    stall_after: float = field(default=15.0, validator=validators.gt(0.0))
    isolation: str = field(default="read_committed", validator=validators.in_(("read_committed", "read_uncommitted")))
