"""The doctor names what is wrong, says what to do, and is content where nothing is."""

from typing import Any

from credagent.config import BundleSection, Config
from credagent.errors import ABSENT_CODES
from credagent.operations.observability.doctor_checks import Facts, Finding, findings, healthy

SLOT: dict[str, Any] = {
    "origin": "none",
    "expires_at": None,
    "required": False,
    "last_error": None,
}
STATUS: dict[str, Any] = {
    "state": "ready",
    "generation": 4,
    "agent": {"pid": 7},
    "bundle": {"bundle_id": None, "channel": None, "refused": []},
    "slots": {"aws": {**SLOT, "origin": "bundle", "expires_at": "2026-01-01T00:00:00Z"}, "google": SLOT},
    "workers": [],
}


def found(**facts: Any) -> list[Finding]:
    return findings(Facts(**{"config": Config(), "status": STATUS, "env_file_exists": True, **facts}))


def levels(check: str, found_: list[Finding]) -> list[str]:
    return [finding.level for finding in found_ if finding.check == check]


def test_a_sound_node_is_healthy() -> None:
    everything = found()
    assert healthy(everything)
    assert levels("agent", everything) == ["ok"]
    assert levels("aws", everything) == ["ok"]


def test_a_standing_problem_is_named_unless_a_refusal_shows_it_already() -> None:
    refused = {"code": "empty", "channel": "file", "at": "…", "hint": ""}
    bundle = {**STATUS["bundle"], "refused": [refused]}
    status = {**STATUS, "state": "degraded", "bundle": bundle, "problems": ["empty", "reload-failed"]}
    named = [finding for finding in found(status=status) if "standing problem" in finding.found]
    assert [(one.found, bool(one.remedy)) for one in named] == [("a standing problem: reload-failed", True)]


def test_an_agent_that_does_not_answer_is_an_error_with_a_remedy() -> None:
    everything = found(status=None, silence="connection refused")
    assert not healthy(everything)
    assert all(finding.remedy for finding in everything if finding.level == "error")


def test_a_required_slot_that_is_empty_is_an_error() -> None:
    slots = {"aws": {**SLOT, "required": True}}
    assert levels("aws", found(status={**STATUS, "slots": slots})) == ["error"]


def test_an_absent_identity_is_information_and_a_failed_one_a_warning() -> None:
    for code, level in (*((code, "info") for code in ABSENT_CODES), ("access-denied", "warning")):
        error = {"code": code, "message": "…", "hint": "…"}
        assert levels("aws", found(status={**STATUS, "slots": {"aws": {**SLOT, "last_error": error}}})) == [
            "info",
            level,
        ]


def test_nobody_trusted_is_an_error_only_where_a_bundle_is_required() -> None:
    assert levels("trust", found()) == ["info"]
    assert levels("trust", found(config=Config(bundle=BundleSection(expect="required")))) == ["error"]


def test_credentials_on_a_disk_are_a_warning() -> None:
    assert levels("folder", found(file_systems={"/run/credagent": "ext4"})) == ["warning"]
    assert levels("folder", found(file_systems={"/run/credagent": "tmpfs", "/var/lib/credagent": "ext4"})) == ["ok"] * 2


def test_a_worker_that_lags_behind_is_a_warning() -> None:
    worker = {"role": "worker", "pid": 1, "generation": 3}
    assert levels("worker", found(status={**STATUS, "workers": [worker]})) == ["warning"]
    assert levels("worker", found(status={**STATUS, "workers": [{**worker, "generation": 4}]})) == ["ok"]


def test_a_refused_bundle_is_named_with_its_hint() -> None:
    refusal = {"code": "bad-signature", "at": "…", "channel": "file", "hint": "seal it again"}
    bundle = {**STATUS["bundle"], "refused": [refusal]}
    assert "seal it again" in [finding.remedy for finding in found(status={**STATUS, "bundle": bundle})]
