"""Which manager gets which suite."""
