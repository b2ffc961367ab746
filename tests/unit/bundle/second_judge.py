"""The second implementation's judgements: plaintext (section 6), sender, place in time and policy (section 7)."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.bundle import second_reader as reader
from tests.unit.bundle.second_reader import Fails, Read

FORMAT = (Path(reader.__file__).parents[3] / "agent" / "credagent" / "bundle" / "FORMAT.md").read_text()
DENIED = re.findall(r"\S+", FORMAT.split("A machine may except names:")[1].split("It may not except")[0])
NEVER_EXCEPTED = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "GCE_METADATA_HOST")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", re.ASCII)
TOKENS = {"access_key_id", "secret_access_key", "session_token", "access_token", "client_secret", "refresh_token"}
SLOTS = ("aws", "google", "environment")

# kind: slot, then field: type; a type ending in * is optional
GRANTS: dict[str, tuple[str, dict[str, str]]] = {
    "aws-session": (
        "aws",
        {
            "access_key_id": "text",
            "secret_access_key": "text",
            "session_token": "text*",
            "expires_at": "time*",
            "region": "text*",
            "principal": "text*",
        },
    ),
    "aws-assume-role": (
        "aws",
        {
            "role_arn": "text",
            "session_name": "text*",
            "external_id": "text*",
            "duration_s": "number",
            "policy": "text*",
            "tags": "texts*",
            "region": "text*",
            "session": "aws-session*",
        },
    ),
    "google-access-token": (
        "google",
        {"access_token": "text", "expires_at": "time", "email": "text*", "project": "text*", "scopes": "list*"},
    ),
    "google-authorized-user": (
        "google",
        {
            "client_id": "text",
            "client_secret": "text",
            "refresh_token": "text",
            "token_uri": "text",
            "project": "text*",
            "scopes": "list*",
        },
    ),
    "google-impersonation": (
        "google",
        {
            "target": "text",
            "lifetime_s": "number",
            "project": "text*",
            "scopes": "list*",
            "token": "google-access-token*",
        },
    ),
    "environment": ("environment", {"variables": "variables"}),
}


def judge(vector: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return outcome, digest and plaintext of a vector, or raise Fails."""
    machine = vector["machine"]
    read = reader.read_text(vector["text"])
    reader.check_signature(read)
    check_sender(read, machine)
    known = machine["in_force"] is not None and machine["in_force"]["digest"] == read.digest
    if not known and vector["reading"] == "delivery":
        check_place_in_time(read, machine, parse_time(vector["now"]))
    plaintext = reader.decrypt(read, reader.content_key(read, machine["recipient_keys"], machine["kms"]))
    content = check_content(read, plaintext)
    check_policy(content, machine)
    return ("again" if known else "new"), read.digest, content


def parse_time(text: Any) -> datetime:
    if not isinstance(text, str) or not TIME.fullmatch(text) or text.endswith(".000000Z"):
        raise ValueError("not a time")
    return datetime.fromisoformat(text)


def micros(moment: datetime) -> int:
    return (moment - datetime.fromisoformat("1970-01-01T00:00:00Z")) // timedelta(microseconds=1)


def check_sender(read: Read, machine: dict[str, Any]) -> None:
    trusted = [reader.from_base64url(line.split(":")[2]) for line in machine["trusted_senders"]]
    if read.sender not in trusted:
        raise Fails(3, "untrusted-sender")
    if machine["audience"] not in ("", read.audience):
        raise Fails(3, "wrong-audience")


def check_place_in_time(read: Read, machine: dict[str, Any], now: datetime) -> None:
    mark = machine["marks"].get(reader.short_id(read.sender).hex())
    if mark and read.sequence < mark["sequence"]:
        raise Fails(4, "replayed")
    if mark and read.sequence == mark["sequence"] and mark["digest"] != read.digest:
        raise Fails(4, "forked")
    if max(read.sequence, read.issued) > micros(now) + 300_000_000:
        raise Fails(4, "from-the-future")
    rival = machine["in_force"]
    if rival and rival["sender"] in machine["trusted_senders"]:
        other = reader.from_base64url(rival["sender"].split(":")[2]) != read.sender
        if other and read.issued <= micros(parse_time(rival["issued_at"])):
            raise Fails(4, "superseded")
    if micros(now) >= read.ends:
        raise Fails(4, "expired")
    first = mark is None or mark["digest"] != read.digest
    if first and micros(now) - read.issued > machine["max_age_s"] * 1_000_000:
        raise Fails(4, "too-old")


def check_content(read: Read, plaintext: bytes) -> dict[str, Any]:
    try:
        content = json.loads(plaintext)
        version = content["version"]
        assert type(version) is int
    except (ValueError, TypeError, KeyError, AssertionError, RecursionError):
        raise Fails(5, "bad-content") from None
    if version != 1:
        raise Fails(5, "unknown-version")
    try:
        check_form(content, plaintext)
        said = (content["audience"], content["bundle_id"], content["sequence"])
        times = tuple(micros(parse_time(content[name])) for name in ("issued_at", "not_after"))
    except (ValueError, TypeError, KeyError, AssertionError, AttributeError, RecursionError):
        raise Fails(5, "bad-content") from None
    if (*said, *times) != (read.audience, read.bundle_id, read.sequence, read.issued, read.ends):
        raise Fails(5, "header-mismatch")
    return dict(content)


def check_form(content: dict[str, Any], plaintext: bytes) -> None:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical == plaintext
    header = {"version", "bundle_id", "sequence", "audience", "issued_at", "not_after", "slots", "grants"}
    assert set(content) == header
    assert re.fullmatch("[0-9a-f]{32}", content["bundle_id"])
    assert type(content["sequence"]) is int
    assert set(content["slots"]) == set(SLOTS)
    assert set(content["slots"].values()) <= {"granted", "declined", "unavailable", "withdrawn"}
    slots = [GRANTS[grant["kind"]][0] for grant in content["grants"]]
    assert slots == [slot for slot in SLOTS if content["slots"][slot] == "granted"]
    for grant in content["grants"]:
        check_grant(grant)
    ends = [grant.get("expires_at") for grant in content["grants"]]
    if ends and all(ends):
        assert parse_time(content["not_after"]) <= max(map(parse_time, ends))


def check_grant(grant: dict[str, Any]) -> None:
    kind = grant["kind"]
    fields = GRANTS[kind][1]
    assert set(grant) - {"kind"} <= set(fields)
    for name, wanted in fields.items():
        assert name in grant or wanted.endswith("*")
        if name in grant:
            check_field(name, grant[name], wanted.rstrip("*"))
    if kind == "aws-session":
        assert ("session_token" in grant) == ("expires_at" in grant)
    if kind == "aws-assume-role":
        assert 900 <= grant["duration_s"] <= (3_600 if "session" in grant else 43_200)
    if kind == "google-impersonation":
        assert 1 <= grant["lifetime_s"] <= 43_200


def check_field(name: str, value: Any, wanted: str) -> None:
    if wanted == "time":
        parse_time(value)
    elif wanted == "number":
        assert type(value) is int
    elif wanted == "variables":
        assert value
        assert all(
            re.fullmatch("[ -~]+", key) and isinstance(item, str) and "\0" not in item for key, item in value.items()
        )
    elif wanted in GRANTS:
        assert value["kind"] == wanted
        check_grant(value)
    else:
        texts = {"text": lambda: [value], "list": lambda: value, "texts": lambda: list(value.values())}[wanted]()
        assert texts
        assert all(isinstance(text, str) and not re.search("[\x00-\x1f\x7f-\x9f]", text) for text in texts)
        assert wanted != "text" or value != ""
        assert name != "region" or re.fullmatch("[A-Za-z0-9_-]{1,63}", value)
        assert name not in TOKENS or re.fullmatch("[!-~]+", value)
        assert wanted != "texts" or all(re.fullmatch("[ -~]+", key) for key in value)


def check_policy(content: dict[str, Any], machine: dict[str, Any]) -> None:
    if not machine["audience"] and not machine["keys_are_own"]:
        raise Fails(6, "audience-needed")
    for grant in content["grants"]:
        session = grant.get("session") if grant["kind"] == "aws-assume-role" else grant
        if (
            session
            and session["kind"] == "aws-session"
            and "session_token" not in session
            and not machine["admit_long_term"]
        ):
            raise Fails(6, "long-term-key")
        if grant["kind"] == "google-authorized-user" and not machine["admit_refresh_token"]:
            raise Fails(6, "refresh-token")
        check_sizes(grant.get("variables", {}))
        check_names(list(grant.get("variables", {})), [name.upper() for name in machine["allow"]])


def check_sizes(variables: dict[str, str]) -> None:
    sizes = [(len(name), len(value.encode())) for name, value in variables.items()]
    if any(name > 256 or value > 32_768 for name, value in sizes) or sum(map(sum, sizes)) > 98_304:
        raise Fails(6, "malformed-variable")


def check_names(names: list[str], allowed: list[str]) -> None:
    if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in names):
        raise Fails(6, "malformed-variable")
    for name in (name.upper() for name in names):
        listed = any(re.fullmatch(entry.replace("*", ".*"), name) for entry in DENIED)
        if name in NEVER_EXCEPTED or (listed and name not in allowed):
            raise Fails(6, "denied-variable")
