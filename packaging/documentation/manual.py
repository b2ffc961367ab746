"""Writes the manual pages below the folder that is its argument: one for each command, and one for the configuration.

They are made of the parsers themselves, so that they cannot say something else than `--help` does.
"""

import argparse
import gzip
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # python -I leaves the script's own folder out

from commands import parsers  # noqa: E402  it lies in the folder that is added here

import credagent  # noqa: E402  after it, as ruff sorts them

HEAD = '.TH {title} {section} "" "credagent {version}" "{book}"\n'

OVERVIEW = """\
.SH NAME
credagent \\- credential agent for Dask clusters
.SH SYNOPSIS
.B credagent
.I COMMAND
[\\fIOPTIONS\\fR]
.SH DESCRIPTION
Code that reads your private data on your own machine reads it unchanged on your Dask cluster, and nobody on the way
can read your credentials. The agent on each machine of the cluster takes a sealed bundle, checks who sent it, opens
it, and hands the credentials to Dask workers; it renews them under running workers. Where nothing was delivered it
falls back to the machine's own identity.
.SH COMMANDS
"""

FILES = """\
.SH EXIT STATUS
0 done; 1 a check failed; 64 usage; 65 bundle refused; 69 no credentials to be had, or another agent has the
folders; 70 internal error; 73 cannot write an output; 77 permission; 78 configuration.
.B credagent exec
exits as its command does.
.SH FILES
.TP
.I /etc/credagent/config.toml
the configuration, see
.BR credagent.toml (5)
.TP
.I /run/credagent
agent.sock, worker.env, inbox/bundle
.TP
.I /var/lib/credagent
this machine's key, the sealed bundle in force, replay marks
.TP
.I credagent-intercept.service
loads the rules of interception, for
.B intercept = true
in [workers]; restart it after a change there
"""

CONFIGURATION = """\
.SH NAME
credagent.toml \\- configuration of the credential agent
.SH DESCRIPTION
TOML, at
.IR /etc/credagent/config.toml ;
for an ordinary user who has one, at
.I ~/.config/credagent/config.toml
in its place
.RI ( $XDG_CONFIG_HOME ).
Every key is also an environment variable,
.BR CREDAGENT_SECTION_KEY ,
which wins; there a list is comma-separated and a boolean is true or false. Unknown keys are errors. A file that others
can write is refused. No configuration at all means the defaults, which are:
.PP
.nf
{defaults}
.fi
.SH SEE ALSO
.BR credagent (1),
.BR credagent-check-config (1)
"""


def main(folder: str) -> None:
    """Write all pages."""
    entries = list(parsers())
    for name, _, parser in entries:
        _write(folder, 1, f"credagent-{name}", _command(name, parser))
    listed = "".join(f".TP\n.BR credagent\\-{name} (1)\n{_plain(entry.summary)}\n" for name, entry, _ in entries)
    _write(folder, 1, "credagent", OVERVIEW + listed + FILES)
    defaults = _plain((HERE / "defaults.toml").read_text())
    _write(folder, 5, "credagent.toml", CONFIGURATION.format(defaults=defaults))


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    usage = _plain(" ".join(parser.format_usage().removeprefix("usage: ").split()))
    parts = [f".SH NAME\ncredagent\\-{name} \\- {_plain(parser.description or '')}\n.SH SYNOPSIS\n{usage}\n"]
    parts.append(f".SH DESCRIPTION\n{_plain((parser.description or '').capitalize())}.\n")
    if parser.epilog:
        parts.append(f".PP\n.nf\n{_plain(parser.epilog)}\n.fi\n")
    parts.append(".SH OPTIONS\n")
    for action in parser._actions:  # noqa: SLF001  argparse has no other list of them
        value = action.metavar if action.nargs != 0 else None
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        shown = f"{names} {value}" if action.option_strings and value else names
        text = (action.help or "") % (vars(action) | {"prog": parser.prog})
        parts.append(f".TP\n.B {_plain(shown)}\n{_plain(text)}\n")
    parts.append(".SH SEE ALSO\n.BR credagent (1)\n")
    return "".join(parts)


def _plain(text: str) -> str:
    """Escape what roff would take for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in escaped.splitlines())


def _write(folder: str, section: int, name: str, body: str) -> None:
    path = Path(folder) / f"man{section}" / f"{name}.{section}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    book = "User Commands" if section == 1 else "File Formats"
    head = HEAD.format(title=name.upper(), section=section, version=credagent.__version__, book=book)
    path.write_bytes(gzip.compress((head + body).encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
