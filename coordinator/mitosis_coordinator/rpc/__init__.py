"""The gRPC face: servicers, interceptors, and how errors look on the wire."""
