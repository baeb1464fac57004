"""How long a server asks us to wait: its headers, in all the forms that are in use."""

import email.utils
import math
import re
import time
from collections.abc import Mapping

LONGEST_WAIT = 600.0  # seconds, whatever the server asks for


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks for (0.0: it says nothing), at most `LONGEST_WAIT`.

    Read: retry-after-ms; retry-after in seconds, as a duration (1m2.5s) or as a date, which is
    taken against the server's own clock where it tells it.
    """
    low = {name.lower(): value.strip() for name, value in headers.items()}
    found = 0.0
    if (value := low.get("retry-after-ms")) and (number := _number(value)) is not None:
        found = number / 1000
    elif value := low.get("retry-after"):
        number = _number(value)
        seconds = number if number is not None else duration(value)
        found = seconds if seconds is not None else _until(value, low.get("date", ""))
    return min(max(found, 0.0), LONGEST_WAIT)


def spent_limits(headers: Mapping[str, str]) -> float:
    """Seconds until the provider's limit opens again, where its headers say that it is used up."""
    low = {name.lower(): value.strip() for name, value in headers.items()}
    waits = [0.0]
    for what in ("requests", "tokens"):
        left = _number(low.get(f"x-ratelimit-remaining-{what}", ""))
        reset = duration(low.get(f"x-ratelimit-reset-{what}", ""))
        if left is not None and left <= 0 and reset is not None:
            waits.append(reset)
    return min(max(waits), LONGEST_WAIT)


def duration(text: str) -> float | None:
    """Seconds of "12", "1m2.5s", "350ms", "1h"; None for anything else."""
    if (number := _number(text)) is not None:
        return number
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)", text)
    if not parts or "".join(a + b for a, b in parts) != text.replace(" ", ""):
        return None
    scale = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    return sum(float(number) * scale[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(value: str, date: str) -> float:
    """Seconds until a date, one minute where it is none."""
    try:
        then = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 60.0
    try:
        now = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        now = time.time()
    return then - now
