"""Whose key is it? The rules by which a recipient key that a cluster announced may be sealed to. Pure.

A key is used only if the caller supplied it, or it was learnt over verified TLS, or the caller said `trust`. Anybody
who can register a worker on a plain TCP scheduler can announce a key of his own.
"""

import ssl
from enum import Enum

from msgspec import Struct

from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.errors import UsageError
from credagent.sender.grant_options import GrantOptions


class TrustBasis(str, Enum):
    """Why announced keys are believed."""

    PINNED = "pinned"
    TLS = "tls"
    FIRST_USE = "first-use"
    ANY = "any"


_CHOICES = """\
recipients=[...]   (--recipient K)        the machines' public keys, one cluster key, or aws-kms:/gcp-kms: names:
                                          nobody else can open it
tls://                                    a scheduler with verified certificates: trusts it and every task on it
trust="first-use"  (--trust first-use)    trusts the machines that are there now; refuses later ones, changed keys
trust="any"        (--trust any)          trusts whatever machine joins: for a cluster in a network of your own"""


class KeyVerdict(Struct, frozen=True, kw_only=True):
    """Whether an announced key is used; else a code, and why."""

    trusted: bool
    code: str = ""
    why: str = ""


TRUSTED = KeyVerdict(trusted=True)


def ground(*, pinned: bool, trust: str | None, scheme: str, context: ssl.SSLContext | None) -> TrustBasis:
    """Return why keys will be believed, or raise UsageError with the choices."""
    if trust not in (None, "first-use", "any"):
        why = f"{trust!r} is not first-use or any"
        raise UsageError("bad-option", why, what="trust", hint=f"choose one:\n{_CHOICES}")
    if pinned and trust is not None:
        hint = "leave one of the two out"
        raise UsageError("trust-twice", "with recipients= nothing else is trusted", what="trust", hint=hint)
    if pinned:
        return TrustBasis.PINNED
    if trust is not None:
        return TrustBasis(trust)
    if scheme == "tls" and context is not None and context.verify_mode == ssl.CERT_REQUIRED:
        return TrustBasis.TLS
    why = f"nothing vouches for the keys that machines announce over {scheme}://"
    raise UsageError("no-trust", why, what="forward", hint=f"choose one:\n{_CHOICES}")


def demand_pinned(options: GrantOptions, found: TrustBasis) -> None:
    """Raise UsageError for what outlives a mistake unless the caller named the recipients."""
    lasting = [
        (bool(options.assume_role), "--assume-role"),
        (bool(options.impersonate), "--impersonate"),
        (options.allow_refresh_token, "--allow-refresh-token"),
        (options.allow_long_term, "--allow-long-term"),
    ]
    named = [name for wanted, name in lasting if wanted]
    if named and found is not TrustBasis.PINNED:
        why = "outlives this session, so it is sealed only to keys that you name"
        hint = "add recipients=[...] (--recipient): the machines' public keys, a cluster key or a KMS name"
        raise UsageError("pin-needed", why, what=named[0], hint=hint)


def demand_still(found: TrustBasis, scheme: str) -> None:
    """Raise UsageError where keys are believed for TLS's sake and the scheduler is to be reached without it.

    A cluster object is asked anew at each connection, and may then name another address.
    """
    if found is TrustBasis.TLS and scheme != "tls":
        why = f"the scheduler is at a {scheme}:// address now, where nothing vouches for announced keys"
        raise UsageError("no-trust", why, what="forward", hint=f"choose one:\n{_CHOICES}")


class FirstUse(Struct, kw_only=True):
    """The machines that were there when forwarding began: key line to host. Grows until `close` is called."""

    known: dict[str, str]
    closed: bool = False

    def judge(self, report: AgentReport, key: RecipientPublicKey) -> KeyVerdict:
        """Believe what comes before `close`; afterwards only what was there."""
        if key.line in self.known:
            return TRUSTED
        if not self.closed:
            self.known[key.line] = report.host
            return TRUSTED
        if report.host in self.known.values():
            why = "its key changed since forwarding began; if you replaced the machine, forward again"
            return KeyVerdict(trusted=False, code="key-changed", why=why)
        why = 'it joined after forwarding began, and trust="first-use" means the machines of that moment'
        return KeyVerdict(trusted=False, code="joined-later", why=why)


class SharedAudience(Struct, kw_only=True):
    """The one audience of machines that open with a key they share, where the caller named none: the first announced.

    What a key of its own opens, a machine of another audience refuses; what a shared key opens could be carried on to
    another cluster with that key, if a worker's word were enough to seal for that cluster's audience.
    """

    named: str = ""

    def judge(self, audience: str) -> KeyVerdict:
        """Believe the first audience; afterwards only that one."""
        if not audience:
            why = "its agent has no audience, which a shared key needs: set agent.audience there"
            return KeyVerdict(trusted=False, code="no-audience", why=why)
        self.named = self.named or audience
        if audience == self.named:
            return TRUSTED
        why = (
            f"its audience is {audience!r}, that of others {self.named!r}, and both may share the key you named: "
            "name the one that is meant, audience= (--audience)"
        )
        return KeyVerdict(trusted=False, code="other-audience", why=why)
