"""The central record of all work: what the workers report, and what became of it."""
