"""For operators: how many tasks there are, how many failed and how long they took, by name, of everybody.

    python -m services.tasks.statistics [--since TIME] [--until TIME] [--task-name NAME] [--worker-name NAME]

Of the last day unless it is told otherwise. It asks the tasks service at TASKS_TARGET, and writes one JSON object a
line.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta

from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb
from google.protobuf import json_format

from services.kit import config
from services.kit.channel import connect
from services.kit.errors import Fault
from services.tasks.dead_letters import Config, moment


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    request = pb.GetStatisticsRequest(
        task_name=asked.task_name, worker_name=asked.worker_name, after_time=asked.since, before_time=asked.until
    )
    with connect(config.load(Config).tasks_target, timeout_s=10) as channel:
        stub = internal_pb2_grpc.TasksInternalServiceStub(channel)
        try:
            answer = stub.GetAnyStatistics(internal_pb2.GetAnyStatisticsRequest(get=request))
        except Fault as fault:
            sys.stderr.write(f"{fault.reason}: {fault.message}\n")
            return 1
    for each in answer.statistics:
        shown = json_format.MessageToDict(
            each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        sys.stdout.write(json.dumps(shown, ensure_ascii=False) + "\n")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.tasks.statistics", description=__doc__.splitlines()[0])
    parser.add_argument("--since", type=moment, default=datetime.now(UTC) - timedelta(days=1), help="tasks made since")
    parser.add_argument("--until", type=moment, help="tasks made before; both ISO 8601 with a zone")
    parser.add_argument("--task-name", default="", help="such as vision_analysis")
    parser.add_argument("--worker-name", default="", help="storage or ai")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
