"""What the configuration says to each part of the agent, as one frozen value: made whole, or not at all."""

import os
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from credagent import log
from credagent.admission import machine_key, recipient_keyring
from credagent.admission.admission_state import AdmissionSettings
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy
from credagent.admission.trust_file import trusted_senders
from credagent.bundle.content_key_wrapping import KeyOpener
from credagent.bundle.key_pairs import SenderPublicKey
from credagent.channels.factory import pull_channels
from credagent.channels.pull_channel import PullChannel
from credagent.config import Config
from credagent.credentials import Slot
from credagent.handover.unix.caller_access import AccessRules
from credagent.slots.allowed_targets import Targets
from credagent.slots.desired_slot import ResolverSettings, SlotSettings
from credagent.slots.precedence import Fallback
from credagent.slots.source_fetcher import FetchSettings


class AgentSettings(Struct, frozen=True, kw_only=True):
    """One configuration, and what follows from it. A reload replaces it whole. `sender_names` are by key id."""

    config: Config
    admission: AdmissionSettings
    slots: ResolverSettings
    fetch: FetchSettings
    access: AccessRules
    channels: tuple[PullChannel, ...]
    sender_names: Mapping[str, str] = {}


def settings_of(config: Config, environ: Mapping[str, str], *, writes: bool = True) -> AgentSettings:
    """Return what follows from `config`; `writes` False: a key that does not exist is not made.

    Raises CredagentError: a key, a trust file or a channel that cannot be had.
    """
    aws, google = config.aws, config.google
    senders = trusted_senders(config.bundle.trusted_senders)
    targets = Targets(assumable_roles=aws.assumable_roles, impersonable=google.impersonable)
    return AgentSettings(
        config=config,
        admission=AdmissionSettings(
            policy=_policy(config, frozenset(senders)), keyring=_keyring(config, environ, writes=writes)
        ),
        slots=_slots(config, targets),
        fetch=FetchSettings(region=aws.region, project=google.project, scopes=google.scopes, targets=targets),
        access=_access(config),
        channels=tuple(pull_channels(config.bundle.channels, environ, region=aws.region)),
        sender_names={SenderPublicKey(raw).key_id: name for raw, name in senders.items() if name},
    )


def _policy(config: Config, senders: frozenset[bytes]) -> AdmissionPolicy:
    """Return what this machine admits."""
    return AdmissionPolicy(
        audience=config.agent.audience,
        trusted_senders=senders,
        trusted_identities=config.bundle.trusted_identities,
        identity_max_age=timedelta(seconds=config.bundle.identity_max_age_s),
        max_age=timedelta(seconds=config.bundle.max_age_s),
        admit_long_term=config.aws.admit_long_term,
        admit_refresh_token=config.google.admit_refresh_token,
        allow=config.environment.allow,
        admit=config.environment.admit,
    )


def _keyring(config: Config, environ: Mapping[str, str], *, writes: bool) -> Keyring:
    """Return the keys that open bundles here; the machine's own is made where missing and where `writes` allows."""
    specs = config.bundle.recipient_keys
    if not writes and not machine_key.exists(config.agent.state_dir):
        specs = tuple(spec for spec in specs if spec != "state")
    return recipient_keyring.load(specs, config.agent.state_dir, environ, _remote_opener, writes=writes)


def _remote_opener(spec: str) -> KeyOpener:
    """Return an opener for a key that a cloud holds."""
    from credagent.admission.kms_recipient_key import kms_key  # noqa: PLC0415  only where one is configured

    return kms_key(spec)


def _slots(config: Config, targets: Targets) -> ResolverSettings:
    """Return what the configuration says of the slots."""
    aws, google = config.aws, config.google
    return ResolverSettings(
        slots={
            Slot.AWS: SlotSettings(fallback=Fallback(aws.fallback), required=aws.required, handover=aws.handover),
            Slot.GOOGLE: SlotSettings(
                fallback=Fallback(google.fallback), required=google.required, handover=google.handover
            ),
            Slot.ENVIRONMENT: SlotSettings(handover="environment"),
        },
        bundle_required=config.bundle.expect == "required",
        min_validity=timedelta(seconds=config.agent.min_validity_s),
        targets=targets,
    )


def _access(config: Config) -> AccessRules:
    """Return who may ask on this machine; names that do not exist here are said once."""
    access, missing = AccessRules.resolve(
        users=config.workers.users,
        groups=config.workers.groups,
        deliver_users=config.bundle.deliver_users,
        own_uid=os.geteuid(),
    )
    if missing:
        log.info("users_or_groups_missing", names=list(missing))
    return access
