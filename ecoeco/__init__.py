"""The Python client of Eco²; see README.md beside this file."""

from ecoeco.client import Client

__all__ = ["Client"]
