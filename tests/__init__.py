"""A package, because tests/e2e is one."""
