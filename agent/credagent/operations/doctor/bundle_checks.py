"""Checks of what was delivered and what came of it: refused bundles, the clock, and what each slot holds or lacks."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from credagent.bundle.refusal_codes import RefusalCode
from credagent.cloud_helper.failures import SKEW_WORTH_SAYING_S
from credagent.errors import ABSENT_CODES
from credagent.operations.doctor import agent_checks, remedies
from credagent.operations.doctor.facts import Facts
from credagent.operations.doctor.findings import Area, Finding
from credagent.operations.observability.status_troubles import CONTENT_REFUSED, OF_THE_MACHINE, OLD_NEWS
from credagent.slots import renewal_schedule

AWS, BUNDLE, CLOCK = Area("aws"), Area("bundle"), Area("clock")

LATE_SHARE = 0.55  # of a session's life: a sender renews at half of it, give or take a tenth


def refused_bundles(facts: Facts) -> Iterator[Finding]:
    """Name the last refusal on each channel, unless a bundle that was made later is in force."""
    bundle = facts.section("bundle")
    standing = {
        refusal["channel"]: refusal
        for refusal in bundle.get("refused", ())
        if refusal["code"] not in OLD_NEWS and _is_later(refusal, bundle)
    }
    for channel, refusal in standing.items():
        why = str(refusal.get("message", "")).removeprefix("bundle refused: ")
        yield BUNDLE.error(
            refusal["code"],
            f"the sender's bundle was refused ({refusal['code']}): {_who_tasks_are(facts)}",
            f"on {channel} at {refusal['at']}: {why}",
            _remedy_of_refusal(facts, refusal),
            subject=channel,
        )


def _is_later(refusal: Mapping[str, Any], bundle: Mapping[str, Any]) -> bool:
    return not bundle["bundle_id"] or str(refusal["at"]) >= str(bundle["issued_at"])


def _who_tasks_are(facts: Facts) -> str:
    """Say which identity tasks have meanwhile."""
    for one in (facts.section("slots").get(name, {}) for name in ("aws", "google")):
        if one.get("origin", "none") != "none":
            whose = one.get("principal") or one["origin"]
            return f"tasks run as {whose}{'' if one['origin'] in OF_THE_MACHINE else ', by the bundle before it'}"
    return "tasks have no cloud identity"


def _remedy_of_refusal(facts: Facts, refusal: Mapping[str, Any]) -> str:
    audience = facts.config.agent.audience
    match refusal["code"]:
        case RefusalCode.UNTRUSTED_SENDER.value:
            return agent_checks.trust(facts)
        case RefusalCode.WRONG_AUDIENCE.value:
            return f"at the sender: `credagent forward --audience {audience}`, or seal with `--audience {audience}`"
        case RefusalCode.NOT_FOR_THIS_MACHINE.value:
            keys = f"`ssh root@{facts.host} credagent public-key >{facts.host}.pub`"
            return f"at the sender: {keys}, then seal with `--recipient {facts.host}.pub`"
        case RefusalCode.EXPIRED.value | RefusalCode.TOO_OLD.value:
            return "at the sender: `credagent whoami`, then `credagent forward` or `credagent seal` anew"
        case RefusalCode.FROM_THE_FUTURE.value:
            return remedies.SET_CLOCK
        case RefusalCode.EMPTY.value:
            return f"remove the file, or `credagent withdraw` at the sender; then {remedies.reload(facts)}"
        case _:
            return str(refusal.get("hint", "")) or remedies.log(facts)


def clock(facts: Facts) -> Iterator[Finding]:
    """Judge this machine's clock by the cloud's, as the agent or the doctor was told it."""
    skew_s = facts.machine.skew_s
    if skew_s is None:
        skew_s = facts.section("agent").get("clock_skew_s")
    if skew_s is None or abs(skew_s) < SKEW_WORTH_SAYING_S:
        return
    ahead = skew_s < 0
    yield CLOCK.error(
        "clock-ahead" if ahead else "clock-behind",
        f"this clock is {abs(skew_s):.0f} s {'ahead of' if ahead else 'behind'} the cloud's",
        "sessions look expired before they are" if ahead else "bundles seem to come from the future",
        remedies.SET_CLOCK,
    )


def slots(facts: Facts) -> Iterator[Finding]:
    """Judge each slot: its last error, what it lacks, and a session that its sender does not replace."""
    for name, slot in facts.section("slots").items():
        error, empty = slot["last_error"], slot["origin"] == "none"
        if error is not None and error["code"] == CONTENT_REFUSED and facts.section("bundle").get("refused"):
            continue  # said of the bundle
        if error is not None and not (error["code"] in ABSENT_CODES and not slot["required"]):
            yield _failed(facts, name, slot, error)
        elif empty and slot["required"] and not _bundle_is_missing(facts):
            yield Area(name).error(
                "required-slot-empty",
                f"the {name} slot is required, and holds nothing",
                "workers wait for it, and start without it in the end",
                f"at the sender: `credagent forward`; or {remedies.setting(facts, f'{name}.required = false')}",
                subject=name,
            )
        yield from _ending(facts, name, slot)


def bundle_required(facts: Facts) -> Iterator[Finding]:
    """Judge whether a bundle that has to be there is."""
    if _bundle_is_missing(facts):
        yield BUNDLE.error(
            "bundle-missing",
            'no bundle is in force, and bundle.expect is "required"',
            "every slot stays empty until one comes",
            "at the sender: `credagent forward`, or `credagent seal` to what `credagent public-key` prints here",
        )


def region(facts: Facts) -> Iterator[Finding]:
    """Judge whether a client that has its keys also knows where to send its requests."""
    aws = facts.section("slots").get("aws")
    if aws is None or aws["origin"] == "none" or facts.handed_out is None or aws["handover"] == "off":
        return
    ours = facts.handed_out & {"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    known = facts.handed_out & {"AWS_REGION", "AWS_DEFAULT_REGION"}
    theirs = all({"AWS_DEFAULT_REGION"} & (one.process.now or frozenset()) for one in facts.workers)
    if ours and not known and not (facts.workers and theirs):
        place = facts.machine.region or "eu-central-1"
        yield AWS.warning(
            "region-missing",
            "workers get AWS credentials and no region",
            "boto3 fails with NoRegionError for all but S3",
            remedies.setting(facts, f'aws.region = "{place}"'),
            subject="aws",
        )


def _failed(facts: Facts, name: str, slot: Mapping[str, Any], error: Mapping[str, Any]) -> Finding:
    empty = slot["origin"] == "none"
    meant = slot["required"] or slot["statement"] in ("granted", "unavailable") or error["code"] not in ABSENT_CODES
    if empty:
        why = f"the {name} slot is empty: tasks have no such identity"
    else:
        until = f" until {slot['expires_at']}" if slot["expires_at"] else ""
        why = f"tasks run as {slot['principal'] or slot['origin']}{until}, which is not renewed"
    return Area(name).finding(
        "error" if empty and meant else "warning",
        error["code"],
        f"{_whose(facts, error)}{error['message']}",
        why,
        _remedy_of_failure(facts, name, error),
        subject=name,
    )


def _whose(facts: Facts, error: Mapping[str, Any]) -> str:
    """Say whose bundle it was, where what it granted has ended."""
    bundle = facts.section("bundle")
    if error["code"] not in ("expired", "not-after") or not bundle.get("bundle_id"):
        return ""
    return f"bundle {bundle['bundle_id']} of sender {_sender(bundle)}, made at {bundle['issued_at']}: "


def _remedy_of_failure(facts: Facts, name: str, error: Mapping[str, Any]) -> str:
    hint = str(error.get("hint") or "")
    if name == "aws":
        match error["code"]:
            case "metadata-disabled":
                return remedies.instance_option(facts, "--http-endpoint enabled")
            case "hop-limit":
                return remedies.instance_option(facts, "--http-put-response-hop-limit 2")
            case "metadata-unreachable":
                return f"`curl -sm2 {facts.machine.metadata_address}/latest/meta-data/; nft list ruleset; ip route`"
    match error["code"]:
        case "metadata-unreachable":
            return (
                "`curl -sm2 -H 'Metadata-Flavor: Google' http://metadata.google.internal/; nft list ruleset; ip route`"
            )
        case "clock-skew" | "expiry-past":
            return remedies.SET_CLOCK
        case "expired" | "not-after":
            return "at the sender: `credagent whoami`, then `credagent forward` again"
        case _:
            return hint or remedies.log(facts)


def _ending(facts: Facts, name: str, slot: Mapping[str, Any]) -> Iterator[Finding]:
    """Warn at half, three quarters and nine tenths of the life of a session that only its sender can replace."""
    bundle = facts.section("bundle")
    if slot["origin"] != "bundle" or slot["renewable"] or not slot["expires_at"] or not bundle.get("issued_at"):
        return
    begins, ends = datetime.fromisoformat(bundle["issued_at"]), datetime.fromisoformat(slot["expires_at"])
    share = renewal_schedule.warning_share(begins, ends, facts.now)
    if share and facts.now - begins >= (ends - begins) * LATE_SHARE:
        left_s = (ends - facts.now).total_seconds()
        yield Area(name).warning(
            "session-ending",
            f"the {name} session ends in {left_s // 60:.0f} min, and sender {_sender(bundle)} has sent no other",
            f"{share:.0%} of its life have passed; after it tasks are refused",
            "at the sender: `credagent forward` again; is the laptop asleep, or its login over?",
            subject=name,
        )


def _bundle_is_missing(facts: Facts) -> bool:
    runs = facts.status is not None and facts.start_failure is None
    return runs and facts.config.bundle.expect == "required" and not facts.section("bundle").get("bundle_id")


def _sender(bundle: Mapping[str, Any]) -> str:
    return str(bundle.get("sender_name") or bundle["sender"])
