"""The domains, one package each, and the kit they share."""
