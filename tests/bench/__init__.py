"""How fast the durable part is, beside its peers, in one run: `make bench`. Times here; never in a test."""
