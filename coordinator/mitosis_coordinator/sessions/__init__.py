"""The live managers: one session each, from `Attach` to `Goodbye`."""
