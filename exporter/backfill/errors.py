"""Why a backfill ends without its file, or with a file that is not whole."""

from exporter.failure import Failure


class BackfillError(Failure):
    """The message is one line; `exit_code` is the program's (1 failed, 2 usage, 130 Ctrl-C)."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code
