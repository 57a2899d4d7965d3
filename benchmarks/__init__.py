"""Measurements of a running Mitosis, each beside a floor or a peer measured in the same run."""
