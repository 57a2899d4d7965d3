"""Comparisons with other systems, which live in an environment of their own."""
