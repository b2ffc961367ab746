"""The Google project: service accounts, OAuth clients, who may impersonate whom. No HTTP, no clock."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_LIFETIME_S = 3600.0


@dataclass(frozen=True)
class ServiceAccountKey:
    """What the token endpoint needs to check an assertion."""

    email: str
    public_key_pem: bytes


@dataclass
class Project:
    """`impersonators`: pairs of patterns, who and whom."""

    project_id: str = "dask-project"
    number: str = "123456789"
    zone: str = "europe-west1-b"
    service_accounts: set[str] = field(default_factory=set)
    client_id: str = "32555940559.apps.googleusercontent.com"
    client_secret: str = "not-very-secret"
    keys: dict[str, ServiceAccountKey] = field(default_factory=dict)
    impersonators: list[tuple[str, str]] = field(default_factory=list)

    def email(self, name: str) -> str:
        """Of a short name; whole addresses are left as they are."""
        return name if "@" in name else f"{name}@{self.project_id}.iam.gserviceaccount.com"

    def may_impersonate(self, principal: str, target: str) -> bool:
        return any(fnmatchcase(principal, who) and fnmatchcase(target, whom) for who, whom in self.impersonators)


def new_key(project: Project, email: str) -> tuple[str, str]:
    """Key id and private key in PEM of a new key of that service account."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key_id = secrets.token_hex(20)
    public_pem = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    project.keys[key_id] = ServiceAccountKey(email, public_pem)
    private_pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_id, private_pem.decode()
