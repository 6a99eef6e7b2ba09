"""The real catalogue, and what a provider of models is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2_grpc
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule

from services.kit import cache, llm
from services.kit.llm import budget
from services.kit.llm.client import Client
from services.kit.server import Server
from services.recycle_info.queries import Queries
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal
from tests.conftest import InForce
from workers.ai import answers
from workers.journal import Journal


class Rules:
    """recycle_info as it is, at `target`."""

    def __init__(self, in_force: InForce):
        rules, database = in_force.rules, in_force.database
        queries = Queries(database, lambda: datetime.now(UTC), 365, 100, lambda: None)
        self._internal = RecycleInfoInternal(rules, database)
        self.keys = set(rules.current.items)
        services = [
            (
                recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server,
                RecycleInfo(database, rules, queries),
            ),
            (internal_pb2_grpc.add_RecycleInfoInternalServiceServicer_to_server, self._internal),
        ]
        self.server = Server("127.0.0.1:0", services).start()
        self.target = f"127.0.0.1:{self.server.port}"

    def resolve(self, item_key: str, language_code: str = "ko", question: str = "") -> ResolvedRule:
        request = internal_pb2.ResolveRuleRequest(item_key=item_key, language_code=language_code, question=question)
        return self._internal.ResolveRule(request, None).rule


def verbatim(body) -> dict:
    """How a model may word a rule that it is given: as it is."""
    rule = json.loads(body["messages"][1]["content"])
    return {name: rule[name] for name in ("rule_id", "category_major", "category_middle")} | {
        "sentences": [{"line": name, "text": f"{text}."} for name, text in rule["lines"].items()]
    }


@pytest.fixture
def recycle_info(in_force):
    running = Rules(in_force)
    yield running
    running.server.stop(grace_s=0)


@pytest.fixture
def redis(servers):
    """Of the answers; this one and the budgets' are empty."""
    clients = [cache.connect(servers.redis_url, db, timeout_s=20) for db in (answers.DB, budget.DB)]
    for client in clients:
        client.flushdb()
    yield clients[0]
    for client in clients:
        client.close()


@pytest.fixture
def journals(tmp_path):
    """Makes journals, one for each worker that a test plays."""
    opened = []

    def make() -> Journal:
        opened.append(Journal(tmp_path / f"journal{len(opened)}"))
        return opened[-1]

    yield make
    for journal in opened:
        journal.close()


@pytest.fixture
def client(servers, openai_api):
    spending = cache.connect(servers.redis_url, budget.DB, timeout_s=20)
    made = Client("test-key", openai_api.url, "m1", llm.Budget(spending, llm.Limits(100_000, 10_000_000)))
    yield made
    made.close()
    spending.close()
