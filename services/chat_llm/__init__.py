"""Conversations with the sorting coach: what users say, and answers that are written until they are done."""
