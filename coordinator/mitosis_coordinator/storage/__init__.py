"""PostgreSQL: connections, statements, migrations. The only package that knows the driver."""
