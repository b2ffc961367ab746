"""What a command's exit status means, and what to do. The numbers are `errors.Exit`'s."""

from collections.abc import Mapping

from credagent.errors import Exit
from credagent.operations.reference.error_codes import Explanation

EXIT_STATUSES: Mapping[Exit, Explanation] = {
    Exit.DONE: Explanation("it was done", "nothing to do"),
    Exit.CHECK_FAILED: Explanation(
        "a check failed: what the command was asked about is not sound", "read what it printed"
    ),
    Exit.USAGE: Explanation("the command line is wrong", "`credagent COMMAND --help`"),
    Exit.REFUSED: Explanation("a bundle was refused", "`credagent explain` with the code that was printed"),
    Exit.UNAVAILABLE: Explanation(
        "no credentials are to be had, no agent answers, or another agent holds the folders", "`credagent doctor`"
    ),
    Exit.INTERNAL: Explanation(
        "a defect of credagent, or a broken installation", "run it with --debug, and report that"
    ),
    Exit.OUTPUT: Explanation("an output cannot be written", "is the disk full, or mounted read-only?"),
    Exit.PERMISSION: Explanation(
        "a file or folder has an open mode or a wrong owner, or the agent does not admit this user", "follow the hint"
    ),
    Exit.CONFIGURATION: Explanation(
        "the configuration is wrong, or names what is not there", "`credagent check-config`"
    ),
    Exit.NOT_EXECUTABLE: Explanation("the program of `exec` cannot be executed", "chmod +x, or look at its first line"),
    Exit.NOT_FOUND: Explanation("the program of `exec` was not found", "look at the name and at PATH"),
}
