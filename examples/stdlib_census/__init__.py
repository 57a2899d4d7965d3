"""The standard library census: a small but real suite. `README.md` beside this file explains it."""
