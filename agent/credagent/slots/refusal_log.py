"""Remember which bundles were refused, for status and metrics."""

from datetime import datetime

from msgspec import Struct


class Refusal(Struct, frozen=True, kw_only=True):
    """A bundle that was refused, where and why."""

    code: str
    at: datetime
    channel: str
    message: str = ""
    hint: str = ""
