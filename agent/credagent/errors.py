"""The families of errors, by origin, with their exit codes; no I/O and no secret belongs here.

Which codes a bundle's refusal has is in `bundle.refusal_codes`, which a cloud's has in `cloud_helper.failures`.

An error says what went wrong (`what`), why (`why`) and what to do (`hint`). `code` is stable and may be tested by
programs; texts may change. None of the texts may hold a secret: callers put names, codes and sizes into them only.
"""

from enum import IntEnum

NO_IDENTITY = "no-identity"
"""This machine has no service that could give an identity: another cloud's machine, or somebody's laptop."""

ABSENT_CODES = frozenset({NO_IDENTITY, "no-role", "no-service-account"})
"""Codes of `Unavailable` that say "there is nothing to be had here, and nothing is broken": information, no failure."""


class Exit(IntEnum):
    """Process exit codes (sysexits.h where it has one; the shell's for a program that cannot be started)."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 64
    REFUSED = 65
    UNAVAILABLE = 69
    INTERNAL = 70
    OUTPUT = 73
    PERMISSION = 77
    CONFIGURATION = 78
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


class CredagentError(Exception):
    """The one root: `what: why`, a hint, a stable code, the exit code, and whether trying again can help."""

    exit_code = Exit.INTERNAL
    retry = False

    def __init__(self, code: str, why: str, *, what: str = "", hint: str = "") -> None:
        """Keep the parts apart, so that each surface (terminal, log, JSON) can show them its own way."""
        super().__init__(f"{what}: {why}" if what else why)
        self.code = code
        self.what = what
        self.why = why
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # tracebacks and notebooks show notes, and nothing else of an exception


class UsageError(CredagentError):
    """The command line is wrong."""

    exit_code = Exit.USAGE


class Refused(CredagentError):
    """A bundle, or an envelope, that must not be used. `code` is its class of failure (listed in FORMAT.md)."""

    exit_code = Exit.REFUSED


class NotForThisMachine(Refused):
    """A sound envelope from a trusted sender, sealed to other recipients only. Absent on a shared channel."""


class Unavailable(CredagentError):
    """Credentials that cannot be had now. `retry` False: a refusal that stands until somebody changes something."""

    exit_code = Exit.UNAVAILABLE

    def __init__(
        self,
        code: str,
        why: str,
        *,
        what: str = "",
        hint: str = "",
        retry: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        """Keep whether the source may answer differently soon, and how many seconds it asks to be left alone."""
        super().__init__(code, why, what=what, hint=hint)
        self.retry = retry
        self.retry_after_s = retry_after_s


class OutputError(CredagentError):
    """An output cannot be written (full disk, read-only folder)."""

    exit_code = Exit.OUTPUT


class PermissionRefused(CredagentError):
    """A file with an open mode, a folder that is a link or another's, a caller who may not ask."""

    exit_code = Exit.PERMISSION


class ConfigurationError(CredagentError):
    """The configuration is wrong, or names something that is not there."""

    exit_code = Exit.CONFIGURATION


class InternalError(CredagentError):
    """A defect of ours, or a broken installation."""
