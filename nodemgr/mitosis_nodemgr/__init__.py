"""The node manager: one daemon per machine that prepares suites and runs worker processes."""
