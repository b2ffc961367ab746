"""worker.env: what a worker gets, as a file for systemd's `EnvironmentFile=` and `docker --env-file`. Nothing is read.

The file is for processes that start later; it is replaced whole whenever the set is.
"""

from credagent import log
from credagent.secret import Secret
from credagent.system.file_writing import write_private
from credagent.worker_environment.formats import Environment

ENV_FILE_VALUE_BYTES = 60_000  # docker reads lines of at most 64 KiB


def write(path: str, environment: Environment, *, of_this_boot: bool = False) -> tuple[str, ...]:
    """Put `environment` at `path`, private and whole; an empty `path` writes nothing. Raises OutputError.

    `of_this_boot`: the folder is the agent's own, and written anew before a worker of the next boot starts.

    Returns the names that such a file cannot carry, which were left out: they still come by `exec` and by the module.
    """
    if not path:
        return ()
    content, left_out = env_file_content(environment)
    write_private(path, content, of_this_boot=of_this_boot)
    if left_out:
        hint = "these values need `credagent exec` or the worker module"
        log.warning("variables_left_out_of_env_file", path=path, names=left_out, hint=hint)
    return left_out


def env_file_content(environment: Environment) -> tuple[bytes, tuple[str, ...]]:
    """Return worker.env, and the names of those that such a file cannot carry and that were left out."""
    kept = {name: value for name, value in environment.items() if survives_env_file(value)}
    text = "".join(f"{name}={value.reveal()}\n" for name, value in kept.items())
    return text.encode(), tuple(name for name in environment if name not in kept)


def survives_env_file(value: Secret) -> bool:
    """Say whether systemd's `EnvironmentFile=` and `docker --env-file` both give `value` back byte for byte.

    systemd reads a backslash as an escape, a quote at the start as quoting, and cuts white space at both ends; docker
    takes the line as it is. Both end it at a line break; neither takes other control characters or broken UTF-8.
    """
    text = value.reveal()
    if text[:1] in {"'", '"'} or "\\" in text or text != text.strip() or not text.isprintable():
        return False
    return len(text.encode()) <= ENV_FILE_VALUE_BYTES
