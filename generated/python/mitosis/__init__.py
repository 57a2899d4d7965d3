"""Code generated from protos/mitosis; `make gen`."""
