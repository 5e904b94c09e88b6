"""What CoinGecko's plans allow, and what it means by the codes of its refusals."""

from __future__ import annotations

from urllib.parse import urlsplit

from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.base.net.refusals import Meaning

__all__ = ["MEANINGS", "PRICING", "is_paid"]

PRICING = "https://www.coingecko.com/en/api/pricing"
PRO_HOSTS = {"pro-api.coingecko.com", "mcp.pro-api.coingecko.com"}
PRO_HEADER, PRO_VARIABLE = "x-cg-pro-api-key", "COINGECKO_PRO_API_KEY"
PRO, PUBLIC = "https://pro-api.coingecko.com/api/v3", "https://api.coingecko.com/api/v3"

MEANINGS = (
    Meaning(10005, "paid_plan", f"this needs a paid plan: {PRICING}"),
    Meaning(10012, "paid_plan", f"ask for the last 365 days; older data needs a paid plan: {PRICING}"),
    Meaning(
        10010,
        "unauthorized",
        f"the key is of a paid plan: set base_url to {PRO} and api_key_header to x-cg-pro-api-key",
        of_question=False,
    ),
    Meaning(
        10011,
        "unauthorized",
        f"the key is of the demo plan: set base_url to {PUBLIC} and api_key_header to x-cg-demo-api-key",
        of_question=False,
    ),
)
"""CoinGecko's own codes, which it sends with 400, 401 or 403 (https://docs.coingecko.com/reference/common-errors)."""


def is_paid(settings: HttpSettings | McpSettings | None) -> bool:
    """Tell whether a client asks with the key of a paid plan: by its header, its variable, or whom it asks.

    >>> is_paid(HttpSettings(base_url="https://pro-api.coingecko.com/api/v3", api_key="CG-1"))
    True
    >>> is_paid(McpSettings(url="https://mcp.api.coingecko.com/mcp"))
    False
    """
    match settings:
        case HttpSettings():
            sent = {*settings.headers, *([settings.api_key_header] if settings.api_key else [])}
            url = settings.base_url
        case McpSettings():
            sent, url = {*settings.headers}, settings.url or ""
        case None:
            return False
    by_variable = isinstance(settings, McpSettings) and bool(settings.env.get(PRO_VARIABLE))
    return by_variable or PRO_HEADER in {name.lower() for name in sent} or urlsplit(url).hostname in PRO_HOSTS
