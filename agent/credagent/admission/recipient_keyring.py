"""The keys that may open a bundle on this machine: its own, and those that the configuration names."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from credagent.admission import machine_key
from credagent.bundle.content_key_wrapping import KeyOpener, StanzaKind
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.errors import ConfigurationError

HELD_BY_A_SERVICE = frozenset({StanzaKind.AWS_KMS, StanzaKind.GCP_KMS})
"""To open by these is to ask somebody, who may not answer."""

OpenerMaker = Callable[[str], KeyOpener]
"""Makes an opener for a key that a cloud holds (`aws-kms:ARN`, `gcp-kms:NAME`)."""


class Keyring(Struct, frozen=True, kw_only=True):
    """All openers. `machine_keys` are those of them that no other machine holds: the present one, then earlier ones."""

    openers: tuple[KeyOpener, ...]
    machine_keys: tuple[RecipientPrivateKey, ...] = ()

    @property
    def own(self) -> RecipientPrivateKey | None:
        """Return the machine's own key, None where the configuration does not use it."""
        return self.machine_keys[0] if self.machine_keys else None

    @property
    def own_ids(self) -> frozenset[bytes]:
        """Return the ids of the keys that no other machine holds."""
        return frozenset(key.recipient_id for key in self.machine_keys)

    def opens_by(self, recipient_id: bytes) -> bool:
        """Tell whether a key is one of these."""
        return any(key.recipient_id == recipient_id for key in self.openers)


def load(
    specs: tuple[str, ...],
    state_dir: str,
    environ: Mapping[str, str],
    remote: OpenerMaker,
    *,
    writes: bool = True,
) -> Keyring:
    """Return the keyring for `bundle.recipient_keys`. Raises ConfigurationError, PermissionRefused or OutputError."""
    openers: list[KeyOpener] = []
    own: list[RecipientPrivateKey] = []
    for spec in specs:
        kind, _, rest = spec.partition(":")
        match kind:
            case "state":
                own = machine_key.load(state_dir, writes=writes)
                openers += own
            case "file":
                openers.append(machine_key.read_key(rest))
            case "credential":
                openers.append(_read_credential(rest, environ))
            case _:
                openers.append(remote(spec))
    return Keyring(openers=tuple(openers), machine_keys=tuple(own))


def _read_credential(name: str, environ: Mapping[str, str]) -> RecipientPrivateKey:
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        hint = f"start the agent by a unit with LoadCredential={name}:PATH"
        raise ConfigurationError("no-credential", "systemd passed no credentials", what=f"credential:{name}", hint=hint)
    return machine_key.read_key(f"{folder}/{name}", group_may_read=True)
