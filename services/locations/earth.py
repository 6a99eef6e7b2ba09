"""Points on the Earth as cubes, and distances between them.

The Earth is a sphere of its mean radius, which keeps distances within 0.5 % of the real ones. Two points are as far
apart as their chord, the straight line through the ground, says: it grows with the way along the surface, so the
nearest by chord are the nearest.
"""

from __future__ import annotations

import math

# As in migrations/locations.
RADIUS_M = 6371008.8


def cube(latitude: float, longitude: float) -> str:
    """A point as PostgreSQL reads a cube. In degrees."""
    north, east = math.radians(latitude), math.radians(longitude)
    x, y = math.cos(north) * math.cos(east), math.cos(north) * math.sin(east)
    return f"({RADIUS_M * x!r}, {RADIUS_M * y!r}, {RADIUS_M * math.sin(north)!r})"


def chord(distance_m: float) -> float:
    """The straight line to what is this far along the surface."""
    return 2 * RADIUS_M * math.sin(distance_m / (2 * RADIUS_M))


def distance_m(chord: float) -> float:
    """How far along the surface what is this far in a straight line."""
    return 2 * RADIUS_M * math.asin(min(1.0, chord / (2 * RADIUS_M)))
