"""The agent kernel: actors that are supervised, addressed by name, and die cleanly."""

from pykka import Timeout

from dataplatform.base.agent.agent import Agent
from dataplatform.base.agent.backoff import Backoff, BackoffPolicy
from dataplatform.base.agent.bulkhead import Bulkhead
from dataplatform.base.agent.child import ChildSpec, Link, PeerJoined, PeerRestarted, Restart, RestartLimit, Strategy
from dataplatform.base.agent.clock import Clock, ManualClock, SystemClock
from dataplatform.base.agent.context import Context, Runtime
from dataplatform.base.agent.deferred import Answer, Deferred
from dataplatform.base.agent.directory import Address, Directory, Entry
from dataplatform.base.agent.futures import Future, later
from dataplatform.base.agent.journal import Incident, Journal
from dataplatform.base.agent.messages import (
    Call,
    Drain,
    Drained,
    GetStatus,
    Ready,
    Reply,
    Request,
    Terminated,
)
from dataplatform.base.agent.mortal import AgentCrashed, OrderlyDeath
from dataplatform.base.agent.scheduler import Scheduler, Timer
from dataplatform.base.agent.status import AgentStatus, Degraded, State
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
