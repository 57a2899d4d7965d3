"""Code generated from protos/mitosis/ipc; `make gen`."""
