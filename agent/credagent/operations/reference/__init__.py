"""What every log event, error code and exit status means, and what to do: the one text behind `credagent explain`.

error_codes: codes of errors, but for those whose cause and hint stand where they are made
exit_statuses: what a command's exit status means
finding_codes: codes of `doctor`'s findings that are no error's
log_events: events in the log
lookup: all of them, and the nearest names of one that is not known
markdown: REFERENCE.md, which a test compares
"""
