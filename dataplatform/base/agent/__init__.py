"""The agent kernel: actors that are supervised, addressed by name, and die cleanly."""

from pykka import Timeout

from dataplatform.base.agent.actor import AgentCrashed, OrderlyDeath
from dataplatform.base.agent.agent import Agent
from dataplatform.base.agent.backoff import Backoff, BackoffPolicy
from dataplatform.base.agent.bulkhead import Bulkhead
from dataplatform.base.agent.children import ChildSpec, Link, PeerJoined, PeerRestarted, Restart, RestartLimit, Strategy
from dataplatform.base.agent.directory import Address, Directory, Entry
from dataplatform.base.agent.futures import Answer, Deferred, Future, later
from dataplatform.base.agent.messages import (
    AgentStatus,
    Call,
    Degraded,
    Drain,
    Drained,
    GetStatus,
    Ready,
    Reply,
    Request,
    State,
    Terminated,
)
from dataplatform.base.agent.runtime import (
    Clock,
    Context,
    Incident,
    Journal,
    ManualClock,
    Runtime,
    Scheduler,
    SystemClock,
    Timer,
)
from dataplatform.base.agent.supervisor import GaveUp, RestartChild, Supervisor

__all__ = [
    "Address",
    "Agent",
    "AgentCrashed",
    "AgentStatus",
    "Answer",
    "Backoff",
    "BackoffPolicy",
    "Bulkhead",
    "Call",
    "ChildSpec",
    "Clock",
    "Context",
    "Deferred",
    "Degraded",
    "Directory",
    "Drain",
    "Drained",
    "Entry",
    "Future",
    "GaveUp",
    "GetStatus",
    "Incident",
    "Journal",
    "Link",
    "ManualClock",
    "OrderlyDeath",
    "PeerJoined",
    "PeerRestarted",
    "Ready",
    "Reply",
    "Request",
    "Restart",
    "RestartChild",
    "RestartLimit",
    "Runtime",
    "Scheduler",
    "State",
    "Strategy",
    "Supervisor",
    "SystemClock",
    "Terminated",
    "Timeout",
    "Timer",
    "later",
]
