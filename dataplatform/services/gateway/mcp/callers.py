"""Who calls: the rights and the rate of each token, and of those who need none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext

from dataplatform.base.agent import Clock
from dataplatform.base.http.rate import TokenBucket
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.services.gateway.operations import RIGHTS, Right
from dataplatform.services.gateway.options import GatewayOptions, TokenOptions, digest

__all__ = ["Caller", "Callers"]

BURST = 100  # requests at once, where a minute's rate allows as many


@frozen(eq=False)
class Caller:
    """Whoever holds a token, or anybody where none is needed."""

    name: str
    rights: frozenset[str]
    bucket: TokenBucket | None = field(default=None, repr=False)

    def refusal(self, right: Right) -> PlatformError | None:
        """Refuse what the token gives no right to."""
        if right in self.rights:
            return None
        return Permanent(
            "forbidden",
            f"this token has no right to {right}",
            remedy="use one that has it; who runs the server can make it",
        )

    def too_often(self) -> PlatformError | None:
        """Count a request, or refuse it because the token's rate is used up."""
        if self.bucket is None or self.bucket.take():
            return None
        rate = f"{self.bucket.per_minute:g} requests a minute are used up"
        return Transient("rate_limited", rate, retry_after=self.bucket.wait())


class Callers:
    """Finds the caller of a request. It is the SDK's token verifier too, and keeps no token, only hashes."""

    def __init__(self, options: GatewayOptions, clock: Clock) -> None:
        self._by_digest: Mapping[str, TokenOptions] = {token.sha256: token for token in options.tokens}
        self._by_name = {token.name: _caller(token, clock) for token in options.tokens}
        self._anybody = Caller("anybody" if options.transport == "http" else "stdio", frozenset(RIGHTS))

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return whose token it is, `None` for nobody's."""
        known = self._by_digest.get(digest(token))
        if known is None:
            return None
        return AccessToken(token="", client_id=known.name, scopes=list(known.rights))

    def of(self, context: ServerRequestContext[Any, Any]) -> Caller:
        """Return who sent the request; over HTTP with tokens it has been let in by one."""
        scope = getattr(context.request, "scope", {})
        user = scope.get("user")
        if isinstance(user, AuthenticatedUser):
            return self._by_name[user.username]
        return self._anybody


def _caller(token: TokenOptions, clock: Clock) -> Caller:
    burst = max(1, min(BURST, int(token.rate_per_minute)))
    return Caller(token.name, frozenset(token.rights), TokenBucket(clock, token.rate_per_minute, burst))
