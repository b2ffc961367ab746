"""All explanations, whatever they explain, and what to say of a name that is not known."""

from collections.abc import Mapping

from credagent.attestation.refusal_codes import HINTS as ATTESTATION_HINTS
from credagent.bundle.refusal_codes import HINTS, RefusalCode
from credagent.cloud_helper.failures import KINDS
from credagent.operations.reference.error_codes import ERRORS, Explanation
from credagent.operations.reference.exit_statuses import EXIT_STATUSES
from credagent.operations.reference.finding_codes import FINDINGS
from credagent.operations.reference.log_events import EVENTS

REFUSED: Mapping[RefusalCode, str] = {
    RefusalCode.EMPTY: "there is nothing in it",
    RefusalCode.TOO_LARGE: "it is larger than an envelope may be, 128 KiB",
    RefusalCode.NOT_AN_ENVELOPE: "it does not begin as an envelope does",
    RefusalCode.UNKNOWN_VERSION: "it has a version that this machine does not know",
    RefusalCode.MALFORMED: "it is not the one text that its parts have: cut, wrapped or altered",
    RefusalCode.BAD_SIGNATURE: "its signature is not its sender's",
    RefusalCode.UNTRUSTED_SENDER: "this machine does not trust its sender",
    RefusalCode.WRONG_AUDIENCE: "it is meant for another audience than agent.audience",
    RefusalCode.REPLAYED: "a later one of its sender was admitted before",
    RefusalCode.FORKED: "another bundle with its number was admitted from its sender",
    RefusalCode.FROM_THE_FUTURE: "it was made at a time that this machine's clock has yet to reach",
    RefusalCode.SUPERSEDED: "a bundle in force, by another trusted sender, was made later",
    RefusalCode.EXPIRED: "it has ended",
    RefusalCode.TOO_OLD: "it was made longer than bundle.max_age ago, and was never seen here",
    RefusalCode.NOT_FOR_THIS_MACHINE: "it is sealed to keys that this machine does not have",
    RefusalCode.DOES_NOT_OPEN: "it is sealed to this machine's key, and does not open with it",
    RefusalCode.BAD_CONTENT: "what is inside is not what FORMAT.md says",
    RefusalCode.HEADER_MISMATCH: "its header says something else than its content",
    RefusalCode.AUDIENCE_NEEDED: "a key that other machines may hold opened it, and this machine names no audience",
    RefusalCode.LONG_TERM_KEY: "it has an AWS key without a session token, which never expires",
    RefusalCode.REFRESH_TOKEN: "it has a Google refresh token, which never expires",
    RefusalCode.MALFORMED_VARIABLE: "it has a variable whose name or size is not possible",
    RefusalCode.DENIED_VARIABLE: "it has a variable that would change how programs run",
}
"""Why a bundle is refused. What to do is said where it is refused."""

ATTESTATION = "a machine's attestation is not believed, for the reason that the code names"


def errors() -> dict[str, Explanation]:
    """Return every code of an error with its explanation, by name."""
    found = {code.value: Explanation(ATTESTATION, hint) for code, hint in ATTESTATION_HINTS.items()}
    found |= {code: Explanation(kind.why, kind.hint or "nothing to do") for code, kind in KINDS.items()}
    found |= ERRORS
    for code, why in REFUSED.items():
        found[code.value] = _also(found.get(code.value), Explanation(f"a bundle was refused: {why}", HINTS[code]))
    return dict(sorted(found.items()))


def _also(said: Explanation | None, refused: Explanation) -> Explanation:
    """Return both, where a code is said of a slot and of a bundle."""
    if said is None:
        return refused
    return Explanation(f"{said.cause}; or {refused.cause}", f"{said.remedy}; {refused.remedy}")


def explanations(name: str) -> list[tuple[str, Explanation]]:
    """Return what a name stands for, with the kind of thing that it is: a code, an event, an exit status."""
    found = []
    if name in (known := errors()):
        found.append(("error code", known[name]))
    if name in FINDINGS:
        found.append(("finding of doctor", FINDINGS[name]))
    if name in EVENTS:
        found.append(("log event", EVENTS[name]))
    found += [("exit status", said) for status, said in EXIT_STATUSES.items() if name == str(status.value)]
    return found


def near(name: str) -> list[str]:
    """Return names that somebody may have meant."""
    from difflib import get_close_matches  # noqa: PLC0415  only for a name that is not known

    return get_close_matches(name, [*errors(), *FINDINGS, *EVENTS], 3)
