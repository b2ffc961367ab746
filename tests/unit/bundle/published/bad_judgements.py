"""Bad vectors that are sound in every way, and that this machine does not admit."""

from collections.abc import Callable, Mapping
from typing import Any

from credagent.bundle.contents import AwsAssumeRoleGrant, Bundle, GoogleAuthorizedUserGrant
from credagent.credentials import Slot, Statement
from credagent.secret import Secret
from tests.unit.bundle.published.recipe import Case, aws_session, draft, letter, refused, variables


def _judged(code: str, description: str, bundle: Bundle, **machine: Any) -> Callable[[], Case]:
    return lambda: refused(6, code, description, draft(bundle).text, machine=machine)


LONG_TERM = aws_session(access_key_id="AKIATESTVECTOR000001", session_token=None, expires_at=None)

JUDGEMENTS: Mapping[str, Callable[[], Case]] = {
    "any-audience-with-shared-key": _judged(
        "audience-needed", "no audience here, and a key that others hold as well", letter(), audience=""
    ),
    "long-term-key": _judged("long-term-key", "a long-term AWS key", letter(LONG_TERM), admit_refresh_token=True),
    "long-term-key-for-a-role": _judged(
        "long-term-key",
        "a long-term AWS key to assume a role",
        letter(AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", session=LONG_TERM)),
    ),
    "refresh-token": _judged(
        "refresh-token",
        "a Google refresh token",
        letter(GoogleAuthorizedUserGrant(client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"))),
        admit_long_term=True,
    ),
    "variable-malformed": _judged(
        "malformed-variable", "a variable that is a command", letter(variables(**{"A;reboot": "x"}))
    ),
    "variable-malformed-digit": _judged(
        "malformed-variable", "a variable that begins with a digit", letter(variables(**{"1A": "x"})), allow=["1A"]
    ),
    "variable-denied": _judged(
        "denied-variable", "a variable that loads code", letter(variables(FINE="1", LD_PRELOAD="/tmp/x.so"))
    ),
    "variable-denied-in-lower-case": _judged(
        "denied-variable", "a proxy, in lower case", letter(variables(https_proxy="http://192.0.2.1"))
    ),
    "variable-of-the-handover": _judged(
        "denied-variable",
        "a second identity, though excepted",
        letter(variables(AWS_PROFILE="other")),
        allow=["AWS_PROFILE"],
    ),
    "withdrawn-and-denied": _judged(
        "denied-variable",
        "one slot withdrawn, another denied",
        letter(
            variables(PYTHONPATH="/tmp"),
            slots={Slot.AWS: Statement.WITHDRAWN, Slot.GOOGLE: Statement.DECLINED, Slot.ENVIRONMENT: Statement.GRANTED},
        ),
    ),
}
