"""The real decision code under a simulated clock, network and database, with seeded faults."""
