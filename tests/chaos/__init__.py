"""Breaks a whole Mitosis of processes on purpose, and checks that nothing was lost (docs/adr/0025-chaos-runs.md)."""
