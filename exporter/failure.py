"""The one way for a command to end without success: a message, and an exit code."""


class Failure(Exception):
    """A command cannot do its job. The message is for the user, one line a problem.

    `exit_code` is the program's: 1 the job failed, 2 wrong usage or configuration. `warnings` are
    lines to be printed before the message.
    """

    exit_code = 1
    warnings: tuple[str, ...] = ()


class WrongUsage(Failure):
    """An argument cannot be used; the message names it and says why."""

    exit_code = 2
