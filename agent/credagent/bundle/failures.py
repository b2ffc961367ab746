"""The classes of failure of a bundle, each with its hint; FORMAT.md explains them. No rule belongs here."""

from collections.abc import Mapping
from enum import Enum

from credagent.errors import NotForThisMachine, Refused


class Failure(str, Enum):
    """Why a bundle is refused, in the order in which the checks are made."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    NOT_AN_ENVELOPE = "not-an-envelope"
    UNKNOWN_VERSION = "unknown-version"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad-signature"
    UNTRUSTED_SENDER = "untrusted-sender"
    WRONG_AUDIENCE = "wrong-audience"
    REPLAYED = "replayed"
    FORKED = "forked"
    FROM_THE_FUTURE = "from-the-future"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    TOO_OLD = "too-old"
    NOT_FOR_THIS_MACHINE = "not-for-this-machine"
    DOES_NOT_OPEN = "does-not-open"
    BAD_CONTENT = "bad-content"
    HEADER_MISMATCH = "header-mismatch"
    AUDIENCE_NEEDED = "audience-needed"
    LONG_TERM_KEY = "long-term-key"
    REFRESH_TOKEN = "refresh-token"  # noqa: S105  the name of a failure
    MALFORMED_VARIABLE = "malformed-variable"
    DENIED_VARIABLE = "denied-variable"


_HINTS: Mapping[Failure, str] = {
    Failure.EMPTY: "put a bundle there, or remove it and reload the agent; `credagent withdraw` takes credentials away",
    Failure.TOO_LARGE: "seal fewer variables, or make several envelopes with fewer recipients each",
    Failure.NOT_AN_ENVELOPE: "deliver the one line that `credagent seal` writes, unchanged",
    Failure.UNKNOWN_VERSION: "update credagent on this machine, or seal with the version it has",
    Failure.MALFORMED: "deliver the one line that `credagent seal` writes, complete and unchanged",
    Failure.BAD_SIGNATURE: "it was changed on its way: seal and deliver it again, and find out what lies between",
    Failure.UNTRUSTED_SENDER: "if you know this sender, add its public key to bundle.trusted_senders",
    Failure.WRONG_AUDIENCE: "seal with --audience as agent.audience of this machine has it",
    Failure.REPLAYED: "nothing to do if this is an old copy; else seal again: each bundle must be newer than the last",
    Failure.FORKED: "two bundles of one sender have the same number: keep its key on one machine, and seal again",
    Failure.FROM_THE_FUTURE: "set the clocks of sender and machine right (NTP), then seal again",
    Failure.SUPERSEDED: "a later bundle of another trusted sender is in force: seal again if this one should win",
    Failure.EXPIRED: "seal a new bundle",
    Failure.TOO_OLD: "seal a new bundle, or raise bundle.max_age if it travels for so long",
    Failure.NOT_FOR_THIS_MACHINE: "seal with --recipient and this machine's public key (`credagent status` shows it)",
    Failure.DOES_NOT_OPEN: "seal it again: its sender signed a bundle that its recipient cannot open",
    Failure.BAD_CONTENT: "seal it again with a current credagent, or compare the sender with FORMAT.md",
    Failure.HEADER_MISMATCH: "seal it again with a current credagent; a sound sender never makes this",
    Failure.AUDIENCE_NEEDED: "set agent.audience, or seal to the key in this machine's own state folder",
    Failure.LONG_TERM_KEY: "forward a session instead, or set aws.admit_long_term = true",
    Failure.REFRESH_TOKEN: "forward an access token instead, or set google.admit_refresh_token = true",
    Failure.MALFORMED_VARIABLE: "name variables with letters, digits and underscores, not beginning with a digit",
    Failure.DENIED_VARIABLE: "leave the variable out, or list it in environment.allow of this machine",
}


def refusal(failure: Failure, why: str) -> Refused:
    """Return the error for `failure`. `why` may hold names, sizes, key ids and times, and no value."""
    family = NotForThisMachine if failure is Failure.NOT_FOR_THIS_MACHINE else Refused
    return family(failure.value, why, what="bundle refused", hint=_HINTS[failure])
