"""Chores: at once while there is work, again after a Fault, and closed at any time."""

import queue
import threading

from services.kit.chores import Chore
from services.kit.errors import Unavailable


def test_it_goes_on_while_there_is_work_and_when_it_is_woken():
    left, done = queue.SimpleQueue(), queue.SimpleQueue()
    for number in range(3):
        left.put(number)

    def work() -> bool:
        if left.empty():
            return False
        done.put(left.get())
        return True

    chore = Chore("test", work, period_s=3600).start()
    assert [done.get(timeout=60) for _ in range(3)] == [0, 1, 2]
    left.put(3)
    chore.wake()
    assert done.get(timeout=60) == 3
    chore.close()


def test_it_goes_on_by_itself_after_its_period():
    done = queue.SimpleQueue()
    chore = Chore("test", lambda: bool(done.put(1)), period_s=0.01).start()
    assert [done.get(timeout=60) for _ in range(5)]
    chore.close()


def test_a_fault_is_tried_again():
    tries, succeeded = [], threading.Event()

    def work() -> bool:
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("away")
        succeeded.set()
        return False

    chore = Chore("test", work, period_s=3600).start()
    assert succeeded.wait(10)
    chore.close()


def test_closing_needs_no_start():
    Chore("test", lambda: False, period_s=1).close()
