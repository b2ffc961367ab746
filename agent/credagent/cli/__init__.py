"""The command line: words in, documents and sentences out, exit statuses. What a command does is in the other rooms.

attest_probe: each step of this machine's attestation, for `doctor --attest`
cluster_probe: what each process of a Dask cluster says of its machine's agent
command_table: which module serves each command, and the overview of `credagent --help`
command_parser: the parser of what is not plain; it explains
common_options: options and types that commands share
dask_credentials_command: every command below `dask credentials`
forward_install_options: `forward --install` and `--uninstall`
main: the entry point; turns errors into one line, a hint and an exit status
node_probes: what can be seen of this machine, as facts for `doctor`
named_files: files that a person names: a sealed bundle to be read, the place of an output
plain_arguments: the usual command lines of commands that are run often
seal_options: the options that say what is sent, and to whom
status_page: the page of `status`, from a document, a time and a width
terminal_text: texts of others on their way to a terminal
worker_whoami: `whoami --worker`: what a library in a process would sign with
commands: one module for each command
"""
