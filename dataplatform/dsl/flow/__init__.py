"""How batches move from sources to targets: credit, acknowledgement, re-sending, accounts."""

from dataplatform.dsl.flow.batches import Batch, Deliver, Granted, Position, Rejected, Rejection, RouteAccount, Written
from dataplatform.dsl.flow.dead_letters import PolledRow, letter_for_input, letter_for_record, letter_for_row
from dataplatform.dsl.flow.outbox import Outbox, Sending
from dataplatform.dsl.flow.target import LeftOut

__all__ = [
    "Batch",
    "Deliver",
    "Granted",
    "LeftOut",
    "Outbox",
    "PolledRow",
    "Position",
    "Rejected",
    "Rejection",
    "RouteAccount",
    "Sending",
    "Written",
    "letter_for_input",
    "letter_for_record",
    "letter_for_row",
]
