"""The other coordinators of the same database: hints between them, and who does the duties."""
