"""What a bundle may do with the machine's own identity: the targets that the configuration lists. Pure; globs."""

from fnmatch import fnmatchcase

from msgspec import Struct

from credagent.bundle.contents import AwsAssumeRoleGrant, GoogleImpersonationGrant, Grant


class Targets(Struct, frozen=True, kw_only=True):
    """The roles that may be assumed and the accounts that may be impersonated, as patterns."""

    assumable_roles: tuple[str, ...] = ()
    impersonable: tuple[str, ...] = ()

    def allow(self, grant: Grant) -> bool:
        """Tell whether `grant` is without a target of the machine's identity, or with one that is listed."""
        match grant:
            case AwsAssumeRoleGrant(session=None):
                return listed(grant.role_arn, self.assumable_roles)
            case GoogleImpersonationGrant(token=None):
                return listed(grant.target, self.impersonable)
            case _:
                return True


def listed(target: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether one of `patterns` is for `target`, case included."""
    return any(fnmatchcase(target, pattern) for pattern in patterns)
