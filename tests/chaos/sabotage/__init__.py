"""Damages a copy of the tree on purpose, and checks that the damage is found."""
