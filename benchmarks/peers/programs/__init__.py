"""One program for each peer; it runs in the peers' environment and knows nothing of Mitosis.

Each starts two worker processes, runs a few tasks to warm up, then submits the tasks in the fastest way that the peer
documents, and prints the seconds until the last result is known.
"""
