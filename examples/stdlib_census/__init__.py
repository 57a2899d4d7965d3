"""Counts what is in every source file of the running Python's standard library, one task a file."""
