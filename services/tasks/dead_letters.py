"""For operators: what no worker could finish, of everybody, and having it tried again.

    python -m services.tasks.dead_letters list    [--queue Q] [--reason R] [--task-id T] [--before TIME] [--all]
    python -m services.tasks.dead_letters peek    ID
    python -m services.tasks.dead_letters replay  [--queue Q] [--reason R] [--task-id T] [--before TIME] [--id ID]
                                                  [--dry-run] [--most N] [--per-second N] [--operator NAME]

It asks the tasks service at TASKS_TARGET, and writes one JSON object a line. Who replayed what stays on record.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import json
import sys
import threading
from collections.abc import Iterator
from datetime import datetime

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from services.kit import config
from services.kit.channel import connect
from services.kit.errors import Fault

PAGE = 100


@dataclasses.dataclass(frozen=True)
class Config:
    tasks_target: str


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    with connect(config.load(Config).tasks_target, timeout_s=10) as channel:
        stub = internal_pb2_grpc.TasksInternalServiceStub(channel)
        try:
            for letter in COMMANDS[asked.command](stub, asked):
                sys.stdout.write(json.dumps(_show(letter), ensure_ascii=False) + "\n")
        except Fault as fault:
            sys.stderr.write(f"{fault.reason}: {fault.message}\n")
            return 1
    return 0


def _list(stub, asked: argparse.Namespace) -> Iterator[pb.DeadLetter]:
    request = pb.ListDeadLettersRequest(page_size=PAGE, show_replayed=asked.all, **_filters(asked))
    while True:
        answer = stub.ListAnyDeadLetters(internal_pb2.ListAnyDeadLettersRequest(list=request))
        yield from answer.dead_letters
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


def _peek(stub, asked: argparse.Namespace) -> Iterator[pb.DeadLetter]:
    request = internal_pb2.GetAnyDeadLetterRequest(dead_letter_id=asked.id)
    yield stub.GetAnyDeadLetter(request).dead_letter


def _replay(stub, asked: argparse.Namespace) -> Iterator[pb.DeadLetter]:
    """In calls of at most a second's worth, until the number asked for is reached or none are left."""
    left, second = asked.most, threading.Event()
    while left:
        request = pb.ReplayDeadLettersRequest(
            dead_letter_id=asked.id,
            dry_run=asked.dry_run,
            max_count=min(left, asked.per_second, PAGE),
            **_filters(asked),
        )
        answer = stub.ReplayAnyDeadLetters(
            internal_pb2.ReplayAnyDeadLettersRequest(operator=asked.operator, replay=request)
        )
        yield from answer.dead_letters
        left -= len(answer.dead_letters)
        if asked.dry_run or not answer.dead_letters or not answer.remaining_count:
            sys.stderr.write(f"{answer.remaining_count} more match\n")
            return
        if left:
            second.wait(len(answer.dead_letters) / asked.per_second)


COMMANDS = {"list": _list, "peek": _peek, "replay": _replay}


def _filters(asked: argparse.Namespace) -> dict:
    filters = {"queue": asked.queue, "reason": asked.reason, "task_id": asked.task_id, "before_time": asked.before}
    return {name: value for name, value in filters.items() if value}


def _show(letter: pb.DeadLetter) -> dict:
    """With the job in words where the payload is one, else its bytes in base64."""
    shown = json_format.MessageToDict(letter, preserving_proto_field_name=True)
    if letter.task_id:
        try:
            job = AnalysisJob.FromString(letter.payload)
            shown["payload"] = json_format.MessageToDict(job, preserving_proto_field_name=True)
        except DecodeError as error:
            shown["payload_error"] = str(error)
    return shown


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.tasks.dead_letters", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("list", "replay"):
        command = commands.add_parser(name)
        command.add_argument("--queue", default="", help="such as vision_analysis_queue")
        command.add_argument("--reason", default="", help="such as GAVE_UP")
        command.add_argument("--task-id", default="")
        command.add_argument("--before", type=moment, help="ISO 8601 with a zone: those that died before then")
    commands.add_parser("peek").add_argument("id", help="a dead_letter_id")
    commands.choices["list"].add_argument("--all", action="store_true", help="also those that have been replayed")
    replay = commands.choices["replay"]
    replay.add_argument("--id", default="", help="a dead_letter_id: only this one")
    replay.add_argument("--dry-run", action="store_true", help="only say which ones it would be, at most 100")
    replay.add_argument("--most", type=int, default=PAGE, help="how many at most")
    replay.add_argument("--per-second", type=int, default=PAGE, help="how fast")
    replay.add_argument("--operator", default=getpass.getuser(), help="who asks, for the record")
    asked = parser.parse_args(arguments)
    if asked.command == "replay" and (asked.most < 1 or asked.per_second < 1):
        parser.error("--most and --per-second must be at least 1")
    return asked


def moment(text: str) -> datetime:
    """ISO 8601 with a zone."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a time without a zone")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
