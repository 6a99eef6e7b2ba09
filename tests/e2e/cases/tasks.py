"""Cases of the record of work."""

import functools

from tests.conftest import eventually
from tests.e2e.cases.case import APART, NO_TIME, Case, Person
from tests.e2e.cases.waste import analysis_id


@functools.cache
def task_id(person: Person) -> str:
    analysis = analysis_id(person)
    eventually(lambda: len(person.tasks(analysis)) == 4)
    return f"{analysis}:vision_analysis"


@functools.cache
def dead_letter(person: Person) -> dict:
    analysis = person.start(person.upload(b"no photo" * 100))
    path, only = "/api/v1/tasks/dead-letters", {"task_id": f"{analysis}:user_input"}
    eventually(lambda: person.http.get(path, params=only).json()["dead_letters"])
    return person.http.get(path, params=only).json()["dead_letters"][0]


def dead_task(person: Person) -> dict:
    return {"task_id": dead_letter(person)["task_id"]}


CASES = {
    "TasksService.ListTasks": Case(
        lambda me: {"task_name": task_id(me).split(":")[1]}, ("page_size", -1), others=APART
    ),
    "TasksService.GetTask": Case(lambda me: {"task_id": task_id(me)}, ("task_id", "x" * 256)),
    "TasksService.ListTaskEvents": Case(lambda me: {"task_id": task_id(me)}, ("task_id", "x" * 256)),
    "TasksService.ListDeadLetters": Case(dead_task, ("before_time", NO_TIME), others=APART),
    "TasksService.GetDeadLetter": Case(
        lambda me: {"dead_letter_id": dead_letter(me)["dead_letter_id"]}, ("dead_letter_id", "7")
    ),
    "TasksService.GetStatistics": Case(
        lambda me: {"task_name": task_id(me).split(":")[1]}, ("after_time", NO_TIME), others=APART
    ),
    "TasksService.ReplayDeadLetters": Case(
        lambda me: dead_task(me) | {"dry_run": True}, ("max_count", -1), others=APART
    ),
}
