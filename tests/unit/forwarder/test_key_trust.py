"""Whose key is sealed to: the caller's word, verified TLS, or an explicit choice; nothing else."""

import ssl
from typing import Any

import pytest

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.errors import UsageError
from credagent.forwarder import key_trust
from credagent.forwarder.key_trust import FirstUse, TrustBasis
from credagent.sender.grant_options import GrantOptions

VERIFYING = ssl.create_default_context()
BLIND = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BLIND.check_hostname = False
BLIND.verify_mode = ssl.CERT_NONE


def report(host: str) -> AgentReport:
    return AgentReport(address=f"tcp://{host}:1", host=host, key=RecipientPrivateKey.generate().public_key)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pinned": True}, TrustBasis.PINNED),
        ({"pinned": True, "scheme": "tls", "context": VERIFYING}, TrustBasis.PINNED),
        ({"scheme": "tls", "context": VERIFYING}, TrustBasis.TLS),
        ({"trust": "any"}, TrustBasis.ANY),
        ({"trust": "first-use", "scheme": "tls", "context": VERIFYING}, TrustBasis.FIRST_USE),
    ],
)
def test_there_is_one_ground(given: dict[str, Any], expected: TrustBasis) -> None:
    assert key_trust.ground(**{"pinned": False, "trust": None, "scheme": "tcp", "context": None, **given}) is expected


@pytest.mark.parametrize(
    "given",
    [{}, {"scheme": "tls", "context": BLIND}, {"trust": "yes"}, {"pinned": True, "trust": "any"}],
)
def test_without_ground_nothing_is_sent(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        key_trust.ground(**{"pinned": False, "trust": None, "scheme": "tcp", "context": None, **given})


@pytest.mark.parametrize(
    "lasting",
    [
        {"assume_role": "arn:aws:iam::123456789012:role/r"},
        {"impersonate": "a@p.iam.gserviceaccount.com"},
        {"allow_refresh_token": True},
        {"allow_long_term": True},
    ],
)
@pytest.mark.parametrize("ground", [TrustBasis.TLS, TrustBasis.FIRST_USE, TrustBasis.ANY])
def test_what_outlives_a_mistake_goes_to_named_recipients_only(lasting: dict[str, Any], ground: TrustBasis) -> None:
    options = GrantOptions(audience="c", **lasting)
    key_trust.demand_pinned(options, TrustBasis.PINNED)
    with pytest.raises(UsageError):
        key_trust.demand_pinned(options, ground)


def test_first_use_ends() -> None:
    first, later = report("a"), report("b")
    memory = FirstUse(known={})
    assert first.key is not None
    assert later.key is not None
    assert memory.judge(first, first.key).trusted
    memory.closed = True
    assert memory.judge(first, first.key).trusted
    assert memory.judge(later, later.key).code == "joined-later"
    changed = report("a")
    assert changed.key is not None
    assert memory.judge(changed, changed.key).code == "key-changed"


def test_machines_that_share_a_key_have_one_audience_unless_the_caller_names_it() -> None:
    shared = key_trust.SharedAudience()
    assert shared.judge("").code == "no-audience"
    assert "agent.audience" in shared.judge("").why
    assert shared.judge("lab").trusted
    assert shared.judge("lab").trusted
    refused = shared.judge("prod")
    assert refused.code == "other-audience"
    assert "audience=" in refused.why
