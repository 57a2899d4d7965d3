"""The HTTP face: health, discovery, metrics."""
