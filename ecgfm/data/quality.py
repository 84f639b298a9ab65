"""Which records are refused, by which name, at which threshold, and why."""


class Refusal(Exception):
    """A record that is not taken, by one of the names of REASONS. The detail never holds text or identifiers."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail
