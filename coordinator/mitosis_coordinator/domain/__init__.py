"""What Mitosis means: lifecycles, rules and errors, with the standard library alone."""
