"""Where to take things: saved places, the nearest centres, and what a region wants done differently."""
