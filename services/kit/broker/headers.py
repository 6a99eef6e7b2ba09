"""The headers by which a message tells how often it was tried, and a dead one why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The number of this try, from 1.
ATTEMPT = "x-attempt"
# The number of the try that this round of tries began with: 1, until a replay begins a new round.
FIRST_ATTEMPT = "x-first-attempt"
# Why it is dead: for programs, for people, and where in the code. Absent when the broker gave it up.
REASON, ERROR, STACK = "x-reason", "x-error", "x-stack"
TASK_ID = "x-task-id"
# Given up by the broker: who did it, how often and why, the last first.
DEATHS = "x-death"
# How often it came back to its queue before this delivery; the broker counts.
RETURNS = "x-delivery-count"
# Nobody's work: a consumer sends it to itself to hear whether it still hears.
CANARY = "x-canary"

_MOST = 2**31 - 2


def attempt_of(headers: Mapping[str, Any], name: str = ATTEMPT) -> int:
    """A number of a try; 1 where there is none, or where another system put something else."""
    attempt = headers.get(name, 1)
    return attempt if isinstance(attempt, int) and 1 <= attempt <= _MOST else 1
