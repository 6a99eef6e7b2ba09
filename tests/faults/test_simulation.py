"""Thousands of ways in which messages, commits, calls and deaths may follow each other, each from a seed."""

from __future__ import annotations

import logging
import time

import pytest

from tests.faults.simulation import MAX_ATTEMPTS, World


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What workers say of faults is what this brings about; an error in a callback of a future is a bug."""
    caplog.set_level(logging.CRITICAL + 1, "workers")
    yield
    assert [record for record in caplog.records if record.name.startswith("concurrent")] == []


def test_any_order_of_events_and_deaths_ends_the_same(campaign, tmp_path):
    count, steps, crashes, tasks, cancelled = campaign.count(quick=150, long=20_000), 0, 0, 0, 0
    for number in range(count):
        chance = campaign.chance(number)
        faults = chance.choice((0.0, 0.3, 1.0))
        world = World(chance, tmp_path, jobs=chance.randint(1, 6), faults=faults)
        try:
            world.run(20_000)
            world.check()
        except BaseException as error:
            error.add_note(f"world {number} of SEED={campaign.seed}, faults {faults}, step {world.steps}")
            raise
        finally:
            world.close()
        if not faults:
            poisoned = {job.analysis_id for job in world.jobs if job.question == "poison"} - world.cancelled
            for task_id, runs in world.runs.items():
                if task_id.partition(":")[0] in poisoned:
                    assert runs == MAX_ATTEMPTS, f"world {number}: {task_id} was tried {runs} times"
        steps, crashes, tasks = steps + world.steps, crashes + world.crashes, tasks + len(world.runs)
        cancelled += len(world.cancelled)
    seconds = time.monotonic() - campaign.begun
    campaign.report(
        f"{count} worlds, {tasks} tasks, {crashes} deaths, {cancelled} cancelled, {steps} steps, "
        f"{steps / seconds:.0f} steps/s: 0 lost, effects = tasks"
    )
