"""When what a slot holds may not be handed out any more: the one judgement that every answer over HTTP makes anew."""

from datetime import datetime

from credagent.credentials import Held, Variables


def ends_at(held: Held) -> datetime | None:
    """Return the earlier of the credential's own end and the bundle's bound, None where there is neither."""
    own = None if isinstance(held.credentials, Variables) else held.credentials.expires_at
    if own is None or held.expires_at is None:
        return own or held.expires_at
    return min(own, held.expires_at)
