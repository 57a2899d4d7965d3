"""The `mitosis` command."""

from mitosis_client.cli.app import main

__all__ = ["main"]
