"""A small file system of its own for a process's data, which can be filled and emptied."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

# Enough for what a manager keeps, and soon full.
_MEBIBYTES = 8
_BALLAST = "ballast"
_BLOCK = b"\0" * 65536


class SmallDisk:
    """A tmpfs mounted on a directory. Mounting takes privileges that a test run may not have."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mounted = False

    def mount(self) -> bool:
        """Mounts it, and returns whether that was allowed."""
        self.directory.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_MEBIBYTES}m,mode=700", "tmpfs", str(self.directory)]
        try:
            self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            self.mounted = False
        return self.mounted

    def fill(self) -> None:
        """Leaves no room for another byte."""
        with self.directory.joinpath(_BALLAST).open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(_BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Gives the room back."""
        self.directory.joinpath(_BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Takes the file system away, with what is on it."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.directory)], check=True, timeout=10)
            self.mounted = False
