"""What a person wants sent, as one frozen value. Command lines and Python calls become this; nothing is fetched."""

import re
from collections.abc import Mapping

from msgspec import Struct

from credagent.admission.denied_variables import MAX_NAME_CHARACTERS, malformed, too_large
from credagent.credentials import Slot
from credagent.errors import UsageError
from credagent.secret import Secret

VALID_FOR_S = 30 * 86_400
LONGEST_S = 366 * 86_400  # more than a year without the sender is not a delivery, it is a second account
PROFILE = "profile:"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class GrantOptions(Struct, frozen=True, kw_only=True):
    """What each slot is to be filled from, and what was allowed by name.

    `aws` is ``local``, ``none`` or ``profile:NAME``; `google` is ``local`` or ``none``; durations are seconds.
    `withdrawn` slots are taken back, whatever the other fields say of them.
    """

    audience: str
    aws: str = "local"
    google: str = "none"
    variables: Mapping[str, Secret] = {}
    assume_role: str = ""
    impersonate: str = ""
    allow_long_term: bool = False
    allow_refresh_token: bool = False
    allow_missing: bool = False
    duration_s: int | None = None
    valid_for_s: int = VALID_FOR_S
    withdrawn: frozenset[Slot] = frozenset()

    @property
    def wants_local_aws(self) -> bool:
        """Tell whether the sender's own AWS credentials are needed."""
        return self.aws != "none" and Slot.AWS not in self.withdrawn

    @property
    def wants_local_google(self) -> bool:
        """Tell whether the sender's own Google credentials are needed."""
        return self.google != "none" and Slot.GOOGLE not in self.withdrawn

    @property
    def profile(self) -> str:
        """Return the AWS profile that was named, empty for the default chain."""
        return self.aws.removeprefix(PROFILE) if self.aws.startswith(PROFILE) else ""


def check(options: GrantOptions, *, audience_needed: bool = True) -> GrantOptions:
    """Return `options`, or raise UsageError for what no bundle can say."""
    if audience_needed and not options.audience:
        hint = "name the cluster that the bundle is for, as its agents have it in `agent.audience`"
        raise UsageError("no-audience", "a bundle is for one audience", what="--audience", hint=hint)
    if options.aws not in ("local", "none") and not options.profile:
        raise _not_one_of("--aws", options.aws, "local, none or profile:NAME")
    if options.google not in ("local", "none"):
        raise _not_one_of("--google", options.google, "local or none")
    if options.assume_role and not _ROLE.fullmatch(options.assume_role):
        raise _not_one_of("--assume-role", options.assume_role, "a role's ARN, arn:aws:iam::123456789012:role/NAME")
    if options.impersonate and not _ACCOUNT.fullmatch(options.impersonate):
        raise _not_one_of("--impersonate", options.impersonate, "a service account's e-mail address")
    if options.duration_s is not None and not 0 < options.duration_s <= LONGEST_S:
        raise _not_one_of("--duration", f"{options.duration_s}s", "a duration of at most 366 days")
    if not 0 < options.valid_for_s <= LONGEST_S:
        raise _not_one_of("--valid-for", f"{options.valid_for_s}s", "a duration of at most 366 days")
    if misnamed := malformed(options.variables):
        hint = f"[A-Za-z_][A-Za-z0-9_]*, at most {MAX_NAME_CHARACTERS} characters"
        raise UsageError("env-name", f"{misnamed[0][:40]!r} is not a variable's name", what="--env", hint=hint)
    if fault := too_large({name: value.size_bytes for name, value in options.variables.items()}):
        hint = "put what is large into a file or a bucket that the tasks read, and send what opens it"
        raise UsageError("variable-too-large", fault, what="--env", hint=hint)
    return options


def variable(name: str, value: str) -> Secret:
    """Return the value of a variable that is to be sent. Raises UsageError for what is no text.

    An environment may hold any bytes; Python shows those that are not UTF-8 as lone surrogates.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        hint = "a bundle carries text: save the value as UTF-8, or send it encoded, in base64 for example"
        raise UsageError("env-not-utf8", "its value is not UTF-8", what=name, hint=hint) from None
    return Secret(value)


def _not_one_of(option: str, value: str, allowed: str) -> UsageError:
    return UsageError("bad-option", f"{value!r} is not {allowed}", what=option, hint="see `credagent seal --help`")
