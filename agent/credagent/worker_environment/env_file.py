"""worker.env: what a worker gets, as a file for systemd's `EnvironmentFile=` and `docker --env-file`. Nothing is read.

The file is for processes that start later; it is replaced whole whenever the set is.
"""

from credagent import log
from credagent.system.file_writing import write_private
from credagent.worker_environment.formats import Environment, env_file


def write(path: str, environment: Environment) -> tuple[str, ...]:
    """Put `environment` at `path`, private and whole; an empty `path` writes nothing. Raises OutputError.

    Returns the names that such a file cannot carry, which were left out: they still come by `exec` and by the module.
    """
    if not path:
        return ()
    content, left_out = env_file(environment)
    write_private(path, content)
    if left_out:
        hint = "these values need `credagent exec` or the worker module"
        log.warning("variables_left_out_of_env_file", path=path, names=left_out, hint=hint)
    return left_out
