"""Merging records is commutative, associative and idempotent, and follows the drawing."""

import itertools
import random

import pytest

from services.tasks import states

T0 = 1_767_225_600_000_000


def at(seconds: float) -> int:
    return T0 + round(seconds * 1e6)


def record(status: str, attempt: int = 1, **values) -> states.Record:
    ended_at = at(90 + attempt) if status in states.ENDED else None
    times = {"created_at": T0, "started_at": None, "next_attempt_at": None, "ended_at": ended_at}
    base = states.Record("a:vision", "vision", "ai", status, attempt, None, None, "", completed_at=ended_at, **times)
    return base._replace(**values)


FORWARD = [
    record("pending"), record("running"), record("failure"),
    record("pending", 2), record("running", 2), record("failure", 2), record("pending", 3),
    record("success"), record("success", 2),
]  # fmt: skip


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(FORWARD, 2)))
def test_a_task_only_runs_forward(earlier, later):
    assert states.further(later, earlier)
    assert not states.further(earlier, later)
    assert not states.further(later, later)


def test_of_two_that_ended_alike_the_earlier_wins():
    first, second = record("failure", completed_at=at(1)), record("failure", completed_at=at(2))
    assert states.merge(first, second) == states.merge(second, first) == first


def test_merging_loses_neither_the_user_nor_the_earlier_times():
    early = record("running", created_at=at(-5), started_at=at(-1), user_id="u")
    late = record("success", started_at=None)
    for merged in (states.merge(early, late), states.merge(late, early)):
        assert merged.status == "success"
        assert (merged.user_id, merged.created_at, merged.started_at) == ("u", at(-5), at(-1))


def test_any_order_and_grouping_gives_the_same():
    rng = random.Random(7)
    for _ in range(300):
        chosen = [
            record(
                rng.choice(states.ORDER), rng.randint(1, 3), created_at=at(rng.random()), started_at=at(rng.random())
            )
            for _ in range(5)
        ]
        [expected], events = states.furthest(chosen), states.history(chosen)
        shuffled = rng.choices(chosen, k=5) + rng.sample(chosen, k=5)
        cut = rng.randint(1, 9)
        halves = states.furthest(shuffled[:cut]) + states.furthest(shuffled[cut:])
        assert states.furthest(halves) == [expected]
        assert states.history(shuffled) == events


def test_a_record_tells_all_that_happened_up_to_it():
    def told(one):
        return [(event.attempt, event.event_type, event.timestamp) for event in states.history([one])]

    assert told(record("pending")) == [(1, "queued", T0)]
    assert told(record("success", 2, started_at=at(3))) == [
        (1, "queued", T0), (2, "started", at(3)), (2, "completed", at(92))
    ]  # fmt: skip
    retry = record("pending", 2, error="timed out", next_attempt_at=at(9))
    assert told(retry) == [(1, "queued", T0), (1, "failed", at(9)), (2, "queued", at(9))]
    assert [event.error for event in states.history([retry])] == ["", "timed out", ""]
    # The exact time, when the worker says it, is the earlier one.
    assert (1, "failed", at(2)) in told(retry._replace(ended_at=at(2)))


def test_a_success_at_the_first_attempt_is_told_by_its_row_alone():
    done = record("success", started_at=at(3))
    assert states.history([done]) == []
    told = [(event.attempt, event.event_type, event.timestamp) for event in states.own_events(done)]
    assert told == [(1, "queued", T0), (1, "started", at(3)), (1, "completed", at(91))]
    assert states.own_events(record("failure", started_at=at(3))) == states.own_events(record("success", 2)) == []
