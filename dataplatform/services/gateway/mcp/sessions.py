"""Sessions over HTTP: so many in all; where there is no room, whoever holds the most of them makes some."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

__all__ = ["SharedSessions"]


class SharedSessions(StreamableHTTPSessionManager):
    """Admits a session where all places are taken by ending another: the idlest of the token that has the most.

    So nobody keeps others out, however many sessions he opens; he ends his own.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._used: dict[str, float] = {}  # when the last request of each session began

    async def _handle_stateful_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session in self._server_instances:
            self._used[session] = time.monotonic()
        await super()._handle_stateful_request(scope, receive, send)

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        if self.max_sessions is not None and len(self._server_instances) >= self.max_sessions:
            self._make_room(requestor)
        admitted = super()._admit_session(requestor)
        if admitted is not None and admitted.mcp_session_id is not None:
            self._used[admitted.mcp_session_id] = time.monotonic()
        return admitted

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        self._used.pop(session_id, None)
        await super()._discard_session(session_id, transport)

    def _make_room(self, requestor: AuthorizationContext | None) -> None:
        """End a session; of several who hold as many, the one who asks for another makes the room."""
        owners = {session: _name_of(self._session_owners.get(session)) for session in self._server_instances}
        held = Counter(owners.values())
        greediest = max(held, key=lambda owner: (held[owner], owner == _name_of(requestor)))
        idlest = min((one for one, owner in owners.items() if owner == greediest), key=lambda one: self._used[one])
        tasks: Any = self._task_group
        tasks.start_soon(self._discard_session, idlest, self._server_instances.pop(idlest))


def _name_of(owner: AuthorizationContext | None) -> str | None:
    return None if owner is None else owner["client_id"]
