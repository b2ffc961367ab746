"""Why a bundle is refused: the codes that an `errors.Refused` may carry, each with its hint. FORMAT.md explains them.

What a cloud refuses is in `cloud_helper.failures`; no rule belongs here.
"""

from collections.abc import Mapping
from enum import Enum

from credagent.errors import NotForThisMachine, Refused


class RefusalCode(str, Enum):
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


HINTS: Mapping[RefusalCode, str] = {
    RefusalCode.EMPTY: "put a bundle there, or remove the file and reload; `credagent withdraw` takes credentials away",
    RefusalCode.TOO_LARGE: "seal fewer variables, or make several envelopes with fewer recipients each",
    RefusalCode.NOT_AN_ENVELOPE: "deliver the one line that `credagent seal` writes, unchanged",
    RefusalCode.UNKNOWN_VERSION: "update credagent on this machine, or seal with the version it has",
    RefusalCode.MALFORMED: "deliver the one line that `credagent seal` writes, complete and unchanged",
    RefusalCode.BAD_SIGNATURE: "it was changed on its way: seal and deliver it again, and find out what lies between",
    RefusalCode.UNTRUSTED_SENDER: "if you know this sender, add its public key to bundle.trusted_senders",
    RefusalCode.WRONG_AUDIENCE: "seal with --audience as agent.audience of this machine has it",
    RefusalCode.REPLAYED: "nothing to do for an old copy; else seal again: each bundle must be newer than the last",
    RefusalCode.FORKED: "two bundles of one sender have the same number: keep its key on one machine, and seal again",
    RefusalCode.FROM_THE_FUTURE: "set the clocks of sender and machine right (NTP), then seal again",
    RefusalCode.SUPERSEDED: "a later bundle of another trusted sender is in force: seal again if this one should win",
    RefusalCode.EXPIRED: "seal a new bundle",
    RefusalCode.TOO_OLD: "seal a new bundle, or raise bundle.max_age if it travels for so long",
    RefusalCode.NOT_FOR_THIS_MACHINE: "seal to this machine's public key, which `credagent public-key` prints",
    RefusalCode.DOES_NOT_OPEN: "seal it again: its sender signed a bundle that its recipient cannot open",
    RefusalCode.BAD_CONTENT: "seal it again with a current credagent, or compare the sender with FORMAT.md",
    RefusalCode.HEADER_MISMATCH: "seal it again with a current credagent; a sound sender never makes this",
    RefusalCode.AUDIENCE_NEEDED: "set agent.audience, or seal to the key in this machine's own state folder",
    RefusalCode.LONG_TERM_KEY: "forward a session instead, or set aws.admit_long_term = true",
    RefusalCode.REFRESH_TOKEN: "forward an access token instead, or set google.admit_refresh_token = true",
    RefusalCode.MALFORMED_VARIABLE: (
        "name variables with up to 256 letters, digits and underscores, not beginning with a digit; a value has at "
        "most 32 KiB, and all variables of a bundle 96 KiB"
    ),
    RefusalCode.DENIED_VARIABLE: "leave the variable out, or list it in environment.allow of this machine",
}


def refusal(failure: RefusalCode, why: str) -> Refused:
    """Return the error for `failure`. `why` may hold names, sizes, key ids and times, and no value."""
    family = NotForThisMachine if failure is RefusalCode.NOT_FOR_THIS_MACHINE else Refused
    return family(failure.value, why, what="bundle refused", hint=HINTS[failure])
