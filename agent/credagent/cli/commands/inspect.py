"""`credagent inspect`: what a sealed bundle says, and with the key, what is inside; never a value."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from credagent.cli.named_files import read_bundle
from credagent.cli.terminal_text import printable
from credagent.errors import ConfigurationError, Exit, Refused, UsageError

if TYPE_CHECKING:
    from credagent.bundle.contents import Bundle, Grant
    from credagent.bundle.envelope import Envelope

SUMMARY = "show what a sealed bundle says; with the recipient's key, what is inside (never values)"
WIDTH = 22  # of the longest label, "    secret_access_key:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `inspect` takes."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the sealed bundle's file, - for standard input")
    parser.add_argument("--recipient-key", metavar="KEY", help="the recipient's private key, to look inside")
    parser.add_argument("--json", action="store_true", help="print a stable document")


def run(arguments: argparse.Namespace) -> int:
    """Show it; raise Refused where its signature is not its sender's, after showing what it claims."""
    from credagent.admission import attested_senders
    from credagent.attestation import proof
    from credagent.bundle import envelope
    from credagent.bundle.signature import verify_signature

    content, attestation = attested_senders.split(read_bundle(arguments.bundle))
    parsed = envelope.parse(content)
    facts = _envelope_facts(parsed)
    if attestation:
        facts["attestation"] = proof.describe(attestation)
    sound = facts["signature"] == "valid"
    if arguments.recipient_key and sound:
        facts["inside"] = _inside(_open(parsed, arguments.recipient_key))
    if arguments.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        _show(facts)
    if not sound:
        verify_signature(parsed)  # says so on stderr too, with a hint
    return Exit.DONE


def _envelope_facts(parsed: "Envelope") -> dict[str, object]:
    from credagent.bundle.key_pairs import SenderPublicKey
    from credagent.bundle.signature import verify_signature
    from credagent.bundle.timestamps import text_of

    header = parsed.header
    try:
        verify_signature(parsed)
        signature = "valid"
    except Refused:
        signature = "INVALID"
    return {
        "version": 1,
        "signature": signature,
        "sender": header.sender_id,
        "sender_key": SenderPublicKey(header.sender).line,
        "audience": header.audience,
        "bundle_id": header.bundle_id,
        "sequence": header.sequence,
        "issued_at": text_of(header.issued_at),
        "not_after": text_of(header.not_after),
        "recipients": [
            f"{stanza.kind.name.lower().replace('_', '-')}:{stanza.recipient_id.hex()}" for stanza in parsed.stanzas
        ],
        "bytes": len(parsed.text),
    }


def _open(parsed: "Envelope", path: str) -> "Bundle":
    from credagent.bundle.key_pairs import RecipientPrivateKey
    from credagent.bundle.opening import open_envelope
    from credagent.secret import Secret
    from credagent.system.file_reading import read_private

    try:
        text = read_private(path, 4_096).decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError("wrong-key", "is not a key file", what=path, hint="name a recipient.key") from None
    try:
        key = RecipientPrivateKey.parse(Secret(text))
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error
    return open_envelope(parsed, [key])


def _inside(bundle: "Bundle") -> dict[str, object]:
    return {
        "slots": {slot.value: statement.value for slot, statement in bundle.slots.items()},
        "grants": [_grant(grant) for grant in bundle.grants],
    }


def _grant(grant: "Grant") -> dict[str, object]:
    """Return what may be shown of a grant: everything that is not a Secret, and of a Secret that it is there."""
    from datetime import datetime

    import msgspec

    from credagent.bundle.timestamps import text_of
    from credagent.secret import Secret

    def shown(value: object) -> object:
        match value:
            case Secret():
                return "***"
            case datetime():
                return text_of(value)
            case msgspec.Struct():
                return _grant(value)  # type: ignore[arg-type]  # a session inside a role's grant
            case Mapping():
                return {name: shown(item) for name, item in value.items()}
            case tuple():
                return list(value)
            case _:
                return value

    facts = {name: shown(getattr(grant, name)) for name in grant.__struct_fields__}
    return {
        "kind": grant.__struct_config__.tag,
        **{name: value for name, value in facts.items() if value not in ("", [], {}, None)},
    }


def _show(facts: Mapping[str, object], indent: str = "") -> None:
    for name, value in facts.items():
        label = f"{indent}{name}:"
        match value:
            case Mapping():
                print(label)
                _show(value, f"{indent}  ")
            case list() if value and isinstance(value[0], Mapping):
                print(label)
                for item in value:
                    _show(item, f"{indent}  ")
                    print()
            case list():
                print(f"{label:<{WIDTH}} {printable(', '.join(map(str, value))) or 'none'}")
            case _:
                print(f"{label:<{WIDTH}} {printable(str(value))}")
