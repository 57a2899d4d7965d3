"""The Python client of a Mitosis coordinator, synchronous and asynchronous."""
