"""A credential set as a worker's environment: what is set, what is overwritten, what is scrubbed.

Pure. Names of variables are in `handovers`, the vendors' documents in `documents`, an environment as text in
`formats`. Nothing here reads a clock, a file or the environment.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from credagent.credentials import (
    AwsCredentials,
    CredentialSet,
    Empty,
    GoogleToken,
    Held,
    Origin,
    SlotContent,
    Variables,
)
from credagent.secret import Secret
from credagent.worker_environment import handover_variables
from credagent.worker_environment.formats import Environment
from credagent.worker_environment.vendor_documents import aws_credentials, expiration

WITHDRAWN = "credagent-withdrawn"  # refused by every service, and whoever sees it in an error knows why
OF_THE_MACHINE = frozenset({Origin.AWS_METADATA, Origin.CONTAINER, Origin.WEB_IDENTITY, Origin.GOOGLE_METADATA})
PAST = "1970-01-01T00:00:00Z"


class HandoverPlan(Struct, frozen=True, kw_only=True):
    """How this machine hands over, and the addresses it does so at. Empty texts: unknown, or not needed.

    `region` is the configured one and wins; `machine_region` is used where the credentials name none.
    `metadata_host` is `HOST:PORT` without a scheme. Where nobody serves (`run --once`), what only the agent could hand
    over is closed, so that no client takes the machine's own identity in its place. `intercepted`: the metadata address
    leads to the agent. `validity_after_withdrawal`: the custom variables that workers were given before.
    """

    aws: Literal["environment", "endpoint", "off"] = "environment"
    google: Literal["metadata", "off"] = "metadata"
    region: str = ""
    machine_region: str = ""
    endpoint_uri: str = ""
    endpoint_token: Secret | None = None
    endpoint_token_file: str = ""
    metadata_host: str = ""
    google_project: str = ""
    google_required: bool = False
    intercepted: bool = False
    handed_out: frozenset[str] = frozenset()


class WorkerView(Struct, frozen=True, kw_only=True):
    """What a worker does with its environment.

    `environment` is set (and added where missing); `overwrite` is set only where the variable exists; `scrub` is
    removed only at the first application, before the first task. `no_proxy` extends NO_PROXY at the first application,
    where the process has a proxy. Order: scrub, environment, overwrite.
    """

    environment: Environment
    overwrite: Environment
    scrub: tuple[str, ...]
    no_proxy: tuple[str, ...] = ()


def worker_environment(credential_set: CredentialSet, plan: HandoverPlan) -> WorkerView:
    """Return the environment of a worker under `plan`."""
    views = (_aws(credential_set.aws, plan), _google(credential_set.google, plan), _custom(credential_set, plan))
    return WorkerView(
        environment={name: value for view in views for name, value in sorted(view.environment.items())},
        overwrite={name: value for view in views for name, value in sorted(view.overwrite.items())},
        scrub=tuple(sorted({name for view in views for name in view.scrub})),
        no_proxy=handover_variables.PAST_PROXIES if any(view.no_proxy for view in views) else (),
    )


def _aws(content: SlotContent, plan: HandoverPlan) -> WorkerView:
    handover = handover_variables.AWS_HANDOVERS[plan.aws]
    if plan.aws == "off" or (isinstance(content, Empty) and content.may_fall_back):
        return _view()
    aws = aws_credentials(content)
    region = _region(aws, plan)
    if plan.aws == "endpoint" and plan.endpoint_uri:
        # What the slot holds is had by the endpoint alone: clients that do not know it, or go on when it refuses, would
        # take the machine's role. Where that is what it holds, they may.
        closed = {} if _finds_it_without_us(content) else handover_variables.AWS_METADATA_CLOSED
        if plan.intercepted and isinstance(content, Held):
            closed = {**closed, **handover_variables.AWS_METADATA_INTERCEPTED}
        environment = {**closed, **_endpoint(plan), **region}
        return _view(environment, _withdrawn_keys(content), handover.scrubs, over_loopback=True)
    if plan.aws == "endpoint" and _finds_it_without_us(content):
        return _view()
    if plan.aws == "endpoint" or aws is None:
        # Closed; also what nobody serves: keys in the environment would win over an endpoint to come.
        scrubs = handover.scrubs.union(handover_variables.AWS_KEYS)
        environment = {**handover_variables.AWS_CLOSED, **region}
        return _view(environment, _withdrawn_keys(content), scrubs, over_loopback=True)
    keys, blank = _keys(aws, expiration(content))
    return _view({**keys, **region}, blank, handover.scrubs.union(blank))


def _finds_it_without_us(content: SlotContent) -> bool:
    """Tell whether a slot holds what clients would find themselves: only the machine's own identity is such."""
    return isinstance(content, Held) and content.origin in OF_THE_MACHINE


def _keys(aws: AwsCredentials, expiration: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the key variables, and those that have to be blanked in a process that had a session before."""
    keys = {
        handover_variables.ACCESS_KEY_ID: aws.access_key_id,
        handover_variables.SECRET_ACCESS_KEY: aws.secret_access_key.reveal(),
        handover_variables.CREDENTIAL_EXPIRATION: expiration,
    }
    if aws.session_token is None:
        return keys, {handover_variables.SESSION_TOKEN: ""}
    return {**keys, handover_variables.SESSION_TOKEN: aws.session_token.reveal()}, {}


def _withdrawn_keys(content: SlotContent) -> dict[str, str]:
    if not isinstance(content, Empty) or not content.withdrawn:
        return {}
    # An expiration in the past makes botocore read again, and then fail without asking anybody.
    return {**dict.fromkeys(handover_variables.AWS_KEYS, WITHDRAWN), handover_variables.CREDENTIAL_EXPIRATION: PAST}


def _endpoint(plan: HandoverPlan) -> dict[str, str]:
    # Some clients need the file, older pyarrow needs the token itself.
    token = plan.endpoint_token.reveal() if plan.endpoint_token else ""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": plan.endpoint_uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": plan.endpoint_token_file,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        **handover_variables.NO_CREDENTIAL_FILES,
    }


def _region(aws: AwsCredentials | None, plan: HandoverPlan) -> dict[str, str]:
    region = plan.region or (aws.region if aws else "") or plan.machine_region
    return dict.fromkeys(handover_variables.AWS_REGIONS, region) if region else {}


def _google(content: SlotContent, plan: HandoverPlan) -> WorkerView:
    if plan.google == "off" or (isinstance(content, Empty) and content.may_fall_back and not plan.google_required):
        return _view()
    scrubs, served = handover_variables.GOOGLE_METADATA.scrubs, bool(plan.metadata_host)
    if not served and _finds_it_without_us(content):
        return _view()
    redirect = _metadata(plan.metadata_host or handover_variables.NOBODY)
    token = content.credentials if isinstance(content, Held) else None
    project = plan.google_project or (token.project if served and isinstance(token, GoogleToken) else "")
    if project:
        redirect |= {"GOOGLE_CLOUD_PROJECT": project}  # also where closed: libraries that miss it ask metadata for it
    if served and isinstance(content, Held):
        # Where the process started while the slot was closed, Google libraries not yet imported may look again.
        reopened = dict.fromkeys(handover_variables.GOOGLE_CLOSED, "false")
        return _view({**redirect, **_ON_GOOGLE}, reopened, scrubs, over_loopback=True)
    if served and (plan.google_required or (isinstance(content, Empty) and content.withdrawn)):
        return _view({**redirect, **_ON_GOOGLE}, {}, scrubs, over_loopback=True)
    # Closed: nobody is made to believe this is Google Cloud, and nobody reaches the machine's own metadata server.
    return _view({**redirect, **handover_variables.GOOGLE_CLOSED}, {}, scrubs, over_loopback=True)


_ON_GOOGLE = {"CPL_MACHINE_IS_GCE": "YES"}


def _metadata(host: str) -> dict[str, str]:
    return {
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        "GCE_METADATA_ROOT": host,
        "GCE_METADATA_MTLS_MODE": "none",
        "CPL_GCE_CREDENTIALS_URL": f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token",
        "GOOGLE_GCLOUD_ADC_PATH_OVERRIDE": "/dev/null/none",  # where no file can be
    }


def _custom(credential_set: CredentialSet, plan: HandoverPlan) -> WorkerView:
    content = credential_set.environment
    if isinstance(content, Held):
        values = content.credentials.values if isinstance(content.credentials, Variables) else {}
        return WorkerView(environment=values, overwrite={}, scrub=())
    return _view({}, dict.fromkeys(plan.handed_out, WITHDRAWN) if content.withdrawn else {})


def _view(
    environment: Mapping[str, str] = {},
    overwrite: Mapping[str, str] = {},
    scrub: frozenset[str] = frozenset(),
    *,
    over_loopback: bool = False,
) -> WorkerView:
    return WorkerView(
        environment={name: Secret(value) for name, value in environment.items()},
        overwrite={name: Secret(value) for name, value in overwrite.items()},
        scrub=tuple(scrub),
        no_proxy=handover_variables.PAST_PROXIES if over_loopback else (),
    )
