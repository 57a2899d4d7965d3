"""What happens around every call, outermost first: context, metrics, errors, auth."""
