"""The asynchronous client: the implementation that the synchronous one runs."""
