"""A hub that asks for patience: what `429` says of how long, and when that is too long to wait."""

import email.utils
import re
import time
from collections.abc import Mapping

from ..errors import Unavailable

LONGEST = 30.0  # seconds that are waited without asking
WINDOW = re.compile(r"(?:^|[;,])\s*t=(\d{1,9})")
"""Seconds until the hub counts anew, in its RateLimit header (draft-ietf-httpapi-ratelimit-headers)."""


def asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as `Retry-After` (seconds or a date) or `RateLimit` have it; None where neither says."""
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdigit():
        return float(after[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        found = WINDOW.search(headers.get("RateLimit", ""))
        return float(found[1]) if found else None


def require_short(seconds: float | None, token: bool) -> None:
    """Raises Unavailable where a hub asks for more than is waited. `token`: whether it was told who asks."""
    if seconds is None or seconds <= LONGEST:
        return
    unit, size = next((each for each in (("hours", 3600), ("minutes", 60)) if seconds >= 2 * each[1]), ("seconds", 1))
    more = "" if token else ", or log in (`hf auth login`, or HF_TOKEN): with a token more is allowed"
    raise Unavailable(
        f"the hub asks to wait for {-(-seconds // size):.0f} {unit} before it is asked again (429)",
        f"run the same command again then{more}",
    )
