"""Which attested machines may be sealed to: by default those of the account or project that is forwarded. Pure."""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from credagent.attestation.identity import INSTANCE_ROLE, AwsIdentity, GoogleIdentity, Identity
from credagent.attestation.refusal_codes import AttestationCode, refusal
from credagent.errors import Refused, UsageError

_ACCOUNT = re.compile(r"[0-9]{12}")
_ROLE = re.compile(
    r"(?:arn:aws[a-z-]*:iam::(?P<account>[0-9]{12}):role/(?:[!-~]*/)?)?(?P<name>[\w+=,.@-]{1,64})", re.ASCII
)
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{3,61}[a-z0-9]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_FIELDS = {
    "aws_accounts": (_ACCOUNT, "an account's number of 12 digits"),
    "aws_roles": (_ROLE, "a role's name or its ARN"),
    "google_projects": (_PROJECT, "a project's id"),
    "google_accounts": (_EMAIL, "a service account's e-mail address"),
}


class AttestPolicy(Struct, frozen=True, kw_only=True):
    """What a person said; each field that is empty stands for what the forwarded identity gives.

    `aws_roles` are names, or ARNs of which account and name count (AWS's answer leaves the path out). A token that
    names no machine is believed for one of `google_accounts` only.
    """

    aws_accounts: tuple[str, ...] = ()
    aws_roles: tuple[str, ...] = ()
    google_projects: tuple[str, ...] = ()
    google_accounts: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is believed."""
        return not (self.aws_accounts or self.aws_roles or self.google_projects or self.google_accounts)

    def or_else(self, *, aws_accounts: Iterable[str], google_projects: Iterable[str]) -> "AttestPolicy":
        """Return it with the accounts and projects of the forwarded identity where the person named none."""
        named_by_roles = [account for account, _ in map(_parts_of_role, self.aws_roles) if account]
        return AttestPolicy(
            aws_accounts=self.aws_accounts or tuple(dict.fromkeys((*aws_accounts, *named_by_roles))),
            aws_roles=self.aws_roles,
            google_projects=self.google_projects or tuple(google_projects),
            google_accounts=self.google_accounts,
        )

    def refused(self, identity: Identity) -> Refused | None:
        """Return why a machine of this identity gets nothing; None where it may be sealed to."""
        if self.is_empty:
            return refusal(AttestationCode.NOTHING_TRUSTED, "nothing says whose machines are yours")
        match identity:
            case AwsIdentity():
                return self._aws(identity)
            case GoogleIdentity():
                return self._google(identity)

    def _aws(self, identity: AwsIdentity) -> Refused | None:
        if identity.account not in self.aws_accounts:
            return refusal(AttestationCode.OTHER_ACCOUNT, f"AWS says that it is {identity.words}")
        if not self.aws_roles:
            if not identity.role:
                return refusal(AttestationCode.OTHER_ROLE, f"AWS says that it is {identity.words}, which is no machine")
            return None
        wanted = map(_parts_of_role, self.aws_roles)
        if identity.role != INSTANCE_ROLE and any(
            name == identity.role and account in ("", identity.account) for account, name in wanted
        ):
            return None
        return refusal(AttestationCode.OTHER_ROLE, f"AWS says that it is {identity.words}")

    def _google(self, identity: GoogleIdentity) -> Refused | None:
        why = f"Google says that it is {identity.words}"
        if self.google_accounts and identity.email not in self.google_accounts:
            return refusal(AttestationCode.OTHER_SERVICE_ACCOUNT, why)
        if not identity.instance:
            return None if self.google_accounts else refusal(AttestationCode.NOT_A_MACHINE, why)
        if identity.project in self.google_projects or (self.google_accounts and not self.google_projects):
            return None
        return refusal(AttestationCode.OTHER_PROJECT, why)


def parse(said: Mapping[str, object]) -> AttestPolicy:
    """Return what a person said, a text or several for each name. Raises UsageError."""
    fields: dict[str, tuple[str, ...]] = {}
    for name, values in said.items():
        if name not in _FIELDS:
            why = f"there is no {str(name)[:40]!r}"
            raise UsageError("bad-option", why, what="attest", hint=f"name one of {', '.join(_FIELDS)}")
        pattern, what = _FIELDS[name]
        listed = (values,) if isinstance(values, str) else tuple(values) if isinstance(values, Iterable) else (values,)
        wrong = [value for value in listed if not isinstance(value, str) or not pattern.fullmatch(value)]
        if wrong or not listed:
            why = f"{str(wrong[0])[:80]!r} is not {what}" if wrong else "it is empty"
            raise UsageError("bad-option", why, what=f"attest: {name}", hint=f"name {what}, as a text, or several")
        fields[name] = listed
    return AttestPolicy(**fields)


def _parts_of_role(text: str) -> tuple[str, str]:
    """Return the account (empty where only a name was given) and the name of a role."""
    found = _ROLE.fullmatch(text)
    return (found["account"] or "", found["name"]) if found else ("", "")
