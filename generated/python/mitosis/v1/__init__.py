"""Code generated from protos/mitosis/v1; `make gen`."""
