"""`mitosis demo`."""


def demo() -> None:
    """x."""
