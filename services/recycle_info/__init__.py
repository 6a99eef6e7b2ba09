"""Which rule holds for which thing: the catalogue, its search, and answers composed from the rules alone."""
