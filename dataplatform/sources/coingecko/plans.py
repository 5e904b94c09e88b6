"""What CoinGecko's plans allow, and what it means by the codes of its refusals."""

from __future__ import annotations

from dataplatform.base.net.refusals import Meaning

__all__ = ["MEANINGS"]

PRICING = "https://www.coingecko.com/en/api/pricing"
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
