"""Logs, and what becomes of a process whose thread has died."""

from __future__ import annotations

import json
import subprocess
import sys
from uuid import UUID

import pytest

from services.kit import telemetry

WAIT_S = 60


def run(code: str) -> subprocess.CompletedProcess:
    setup = "import threading, sys; from services.kit import telemetry; telemetry.setup('test');"
    return subprocess.run(
        [sys.executable, "-c", setup + code], capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def test_a_process_ends_with_a_thread_that_died_of_an_exception():
    ended = run("threading.Thread(target=lambda: 1 / 0, name='relay').start(); threading.Event().wait()")
    assert ended.returncode == telemetry.DEAD_THREAD_EXIT
    line = json.loads(ended.stderr)
    assert (line["level"], line["message"], line["process"]) == ("CRITICAL", "thread relay died", "test")
    assert "ZeroDivisionError" in line["stack"]


def test_a_thread_that_just_ends_takes_nobody_along():
    code = """
for target in (lambda: None, sys.exit):
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
"""
    assert run(code).returncode == 0


@pytest.mark.parametrize("identifier", ["\xff\xfe", "a b", "a\nb", "\ud800"])
def test_a_request_id_that_cannot_travel_on_is_replaced(identifier):
    with telemetry.bound(identifier) as bound:
        assert UUID(bound)
    with telemetry.bound("a-b_1" * 30) as bound:
        assert bound == "a-b_1" * 20
