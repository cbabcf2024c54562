"""What can go wrong on this machine, said for the person at the terminal."""


class LocalError(Exception):
    """The local stack could not do what was asked. The message says what to change."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log  # the last lines of the log that matters, empty where there is none
