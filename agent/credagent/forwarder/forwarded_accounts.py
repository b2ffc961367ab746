"""Whose machines are one's own: the AWS account and the Google project of the identity that is forwarded. Pure."""

import re
from collections.abc import Iterable

from credagent.attestation.policy import AttestPolicy
from credagent.credentials import Slot
from credagent.sender.grant_options import GrantOptions
from credagent.sender.local_identity import FoundIdentity

_ROLE_ACCOUNT = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):role/.*")
_EMAIL_PROJECT = re.compile(r"[^@]+@([a-z][a-z0-9-]{4,61}[a-z0-9])\.iam\.gserviceaccount\.com")


def policy_of(said: AttestPolicy, options: GrantOptions, found: Iterable[FoundIdentity]) -> AttestPolicy:
    """Return whose attested machines get something: what was `said`, else the account and project of what goes there.

    A role that machines are to assume by their own identity stands for its account, and an account to impersonate for
    its project.
    """
    accounts, projects = [], []
    for one in found:
        if one.slot is Slot.AWS and one.account:
            accounts.append(one.account)
        project = getattr(one.grant, "project", "")
        if one.slot is Slot.GOOGLE and (project := project or _project_of(one.principal)):
            projects.append(project)
    if not options.wants_local_aws and (role := _ROLE_ACCOUNT.fullmatch(options.assume_role)):
        accounts.append(role[1])
    if not options.wants_local_google and (project := _project_of(options.impersonate)):
        projects.append(project)
    return said.or_else(aws_accounts=accounts, google_projects=projects)


def _project_of(email: str) -> str:
    found = _EMAIL_PROJECT.fullmatch(email)
    return found[1] if found else ""
