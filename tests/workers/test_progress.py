"""What is told of progress, on a real Redis."""

from __future__ import annotations

import time

import pytest
from eco2.pipeline.v1.messages_pb2 import STAGE_VISION_ANALYSIS

from tests.conftest import eventually
from tests.workers.conftest import new_job
from workers import progress
from workers.stages import Stage, TimedOut

STAGE = Stage(STAGE_VISION_ANALYSIS, None, 1, 1, 10.0)


@pytest.fixture
def announcer(board) -> progress.Announcer:
    opened = progress.Announcer(board)
    yield opened
    opened.close()


def test_what_is_over_before_it_was_told_is_not_told(announcer, board):
    over, last = new_job(), new_job()
    # The thread that tells cannot take either before both are there.
    with announcer._changed:
        announcer.progress(over, STAGE, float("inf"))(0)
        announcer.progress(last, STAGE, float("inf"))(50)
        announcer.withdraw(over)
    eventually(lambda: board.read(f"analysis:{last.analysis_id}"))
    assert board.read(f"analysis:{last.analysis_id}")["stage"] == "vision_analysis"
    assert board.read(f"analysis:{over.analysis_id}") == {}


def test_a_run_past_its_deadline_ends_where_it_says_how_far_it_is(announcer):
    with pytest.raises(TimedOut):
        announcer.progress(new_job(), STAGE, time.monotonic())(0)
