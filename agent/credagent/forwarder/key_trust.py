"""The one judge of what may be sealed to: rules for the keys and audiences that machines of a cluster name. No I/O.

A key is used only if the caller supplied it, or it was learnt over verified TLS, or the caller said `trust`. Anybody
who can register a worker on a plain TCP scheduler can name a key of his own. So nothing is sealed without a verdict:
`bundle_revision` takes a TrustedRecipient for each text that it seals or gives away, and only `KeyJudge` makes one.
"""

import ssl
from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from credagent.bundle.envelope import audience_fault
from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.scheduler_address import ENCRYPTED
from credagent.errors import UsageError
from credagent.sender.grant_options import GrantOptions
from credagent.sender.recipients import Recipient

UNNAMED_AUDIENCE = "dask"  # for agents that have no audience: they accept any, from a sender they trust


class TrustBasis(str, Enum):
    """Why the keys that machines name are believed."""

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


class TrustedRecipient(Struct, frozen=True):
    """A key and an audience that may be sealed to. `key` None: the recipients that the caller named open it."""

    key: RecipientPublicKey | None
    audience: str


class Distrusted(Struct, frozen=True):
    """Why a machine gets nothing: a code, and a sentence for people."""

    code: str
    why: str


Verdict = TrustedRecipient | Distrusted


class KeyJudge:
    """Judges every report of every machine, whatever it was the answer to.

    Remembers two things: under first use, the keys of the machines that were there before `end_first_use`; and for
    recipients that several clusters may share, the first audience that was named.
    """

    def __init__(self, basis: TrustBasis, recipients: Iterable[Recipient], audience: str) -> None:
        """Judge by `basis`. `recipients` are those that the caller named, `audience` likewise or empty."""
        self._basis, self._recipients, self._audience = basis, frozenset(recipients), audience
        self._first_hosts: dict[str, str] = {}
        self._first_use_ended = False
        self._shared_audience = ""

    def end_first_use(self) -> None:
        """From now on, under first use, only keys that were there before are believed."""
        self._first_use_ended = True

    def judge(self, report: AgentReport, *, asked: bool = True) -> Verdict:
        """Return to whom this machine's bundles are sealed, or why it gets none.

        `asked` False: the report came without a question, so that its key does not count as one of first use.
        """
        if fault := audience_fault(report.audience) if report.audience else "":
            return Distrusted("bad-audience", fault)
        if self._audience and report.audience not in ("", self._audience):
            return Distrusted("other-audience", f"its audience is {report.audience!r}, not {self._audience!r}")
        audience = self._audience or report.audience or UNNAMED_AUDIENCE
        if self._basis is TrustBasis.PINNED:
            if report.key in self._recipients:
                return TrustedRecipient(report.key, audience)
            return self._shared(report.audience) or TrustedRecipient(None, audience)
        if report.key is None:
            return Distrusted("no-key", "it opens bundles with a key that a KMS holds: name that key in recipients=")
        if self._basis is TrustBasis.FIRST_USE and (
            distrusted := self._first_use(report.host, report.key, open_to_all=asked and not self._first_use_ended)
        ):
            return distrusted
        return TrustedRecipient(report.key, audience)

    def _first_use(self, host: str, key: RecipientPublicKey, *, open_to_all: bool) -> Distrusted | None:
        if key.line in self._first_hosts:
            return None
        if open_to_all:
            self._first_hosts[key.line] = host
            return None
        if host in self._first_hosts.values():
            why = "its key changed since forwarding began; if you replaced the machine, forward again"
            return Distrusted("key-changed", why)
        why = (
            'it joined after forwarding began, and trust="first-use" means the machines of that moment. Forward again, '
            'or, where clusters grow, name a cluster key (recipients=), use tls://, or trust="any" in your own network'
        )
        return Distrusted("joined-later", why)

    def _shared(self, audience: str) -> Distrusted | None:
        """Hold machines that open with a key they share to one audience, where the caller named none: the first.

        What a key of its own opens, a machine of another audience refuses. What a shared key opens could be carried on
        to another cluster with that key, if a worker's word were enough to seal for that cluster's audience.
        """
        if self._audience:
            return None
        if not audience:
            why = "its agent has no audience, which a shared key needs: set agent.audience there"
            return Distrusted("no-audience", why)
        self._shared_audience = self._shared_audience or audience
        if audience == self._shared_audience:
            return None
        why = (
            f"its audience is {audience!r}, that of others {self._shared_audience!r}, and both may share the key you "
            "named: name the one that is meant, audience= (--audience)"
        )
        return Distrusted("other-audience", why)


def trust_basis(*, pinned: bool, trust: str | None, scheme: str, context: ssl.SSLContext | None) -> TrustBasis:
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
    if scheme in ENCRYPTED and context is not None and context.verify_mode == ssl.CERT_REQUIRED:
        return TrustBasis.TLS
    why = f"nothing vouches for the keys that machines announce over {scheme}://"
    raise UsageError("no-trust", why, what="forward", hint=f"choose one:\n{_CHOICES}")


def demand_pinned(options: GrantOptions, basis: TrustBasis) -> None:
    """Raise UsageError for what outlives a mistake unless the caller named the recipients."""
    lasting = [
        (bool(options.assume_role), "--assume-role"),
        (bool(options.impersonate), "--impersonate"),
        (options.allow_refresh_token, "--allow-refresh-token"),
        (options.allow_long_term, "--allow-long-term"),
    ]
    named = [name for wanted, name in lasting if wanted]
    if named and basis is not TrustBasis.PINNED:
        why = "outlives this session, so it is sealed only to keys that you name"
        hint = "add recipients=[...] (--recipient): the machines' public keys, a cluster key or a KMS name"
        raise UsageError("pin-needed", why, what=named[0], hint=hint)


def demand_still(basis: TrustBasis, scheme: str) -> None:
    """Raise UsageError where keys are believed for TLS's sake and the scheduler is to be reached without it.

    A cluster object is asked anew at each connection, and may then name another address.
    """
    if basis is TrustBasis.TLS and scheme not in ENCRYPTED:
        why = f"the scheduler is at a {scheme}:// address now, where nothing vouches for announced keys"
        raise UsageError("no-trust", why, what="forward", hint=f"choose one:\n{_CHOICES}")
