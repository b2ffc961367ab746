"""The AWS account: users with long-term keys, roles and whom they trust, web identities. No HTTP, no clock."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

DEFAULT_ROLE_SESSION_S = 3600
MAX_ROLE_SESSION_S = 43_200


@dataclass(frozen=True)
class Role:
    """`trusts` are patterns of the principals that may assume it."""

    name: str
    arn: str
    role_id: str
    trusts: tuple[str, ...] = ("*",)
    external_id: str | None = None
    max_session_s: int = DEFAULT_ROLE_SESSION_S

    def trusted(self, principal: str) -> bool:
        return any(fnmatchcase(principal, pattern) for pattern in self.trusts)


@dataclass(frozen=True)
class WebIdentity:
    """A token that a web identity provider issued, and the role it is good for (None: any)."""

    subject: str
    role: str | None


@dataclass
class Account:
    """Account, region and what exists in it. A role that is not listed cannot be assumed."""

    account_id: str = "123456789012"
    region: str = "eu-central-1"
    roles: dict[str, Role] = field(default_factory=dict)
    web_identities: dict[str, WebIdentity] = field(default_factory=dict)
    user_ids: dict[str, str] = field(default_factory=dict)

    def user_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account_id}:user/{name}"

    def user_id(self, name: str) -> str:
        return self.user_ids.setdefault(name, unique_id("AIDA"))

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{name}"

    def session_arn(self, role: str, session_name: str) -> str:
        return f"arn:aws:sts::{self.account_id}:assumed-role/{role}/{session_name}"

    def add_role(
        self,
        name: str,
        *,
        trusts: tuple[str, ...] = ("*",),
        external_id: str | None = None,
        max_session_s: int = DEFAULT_ROLE_SESSION_S,
    ) -> Role:
        role = Role(name, self.role_arn(name), unique_id("AROA"), trusts, external_id, max_session_s)
        self.roles[name] = role
        return role

    def role_named_by(self, arn: str) -> Role | None:
        return next((role for role in self.roles.values() if role.arn == arn), None)


def unique_id(prefix: str) -> str:
    """As AWS gives them: `AIDA…` for a user, `AROA…` for a role."""
    return prefix + secrets.token_hex(8).upper() + "X"
