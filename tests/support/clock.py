"""A clock for tests: time passes when they say so."""


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at
