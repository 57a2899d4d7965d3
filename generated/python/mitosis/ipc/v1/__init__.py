"""Code generated from protos/mitosis/ipc/v1; `make gen`."""
