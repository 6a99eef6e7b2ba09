"""A worker whose peers fail in every way that a network knows, one after the other, and heal."""

from __future__ import annotations

import itertools
import os
from urllib.parse import urlsplit, urlunsplit

import pytest
from eco2.pipeline.v1.messages_pb2 import STAGE_RESPONSE_GENERATION, STAGE_RULE_RETRIEVAL, AnalysisJob
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache
from services.kit.channel import connect
from services.kit.objects import Bucket
from tests.conftest import eventually
from tests.faults import proxy as proxies
from tests.faults.house import House
from tests.faults.noop_worker import TOPOLOGY
from tests.faults.proxy import FAULTS, SLOW, UP, Proxy
from workers import progress
from workers.cancellations import Cancellations
from workers.journal import Journal
from workers.progress import Announcer
from workers.runtime import Worker
from workers.stages import Stage

WAIT_S = 120
PARTS = ("tasks", "waste", "postgres", "redis", "s3", "rabbitmq")
JOBS = 10


class Street:
    """A worker, its peers, and a proxy before each of them."""

    def __init__(self, postgres, database_name, servers, rabbitmq_url, folder):
        self.proxies: dict[str, Proxy] = {}
        self.accepted = 0
        self.house = House(
            postgres.url(database_name),
            self._through("postgres", postgres.url(database_name, "waste")),
            self._through("postgres", postgres.url(database_name, "tasks")),
            servers.redis_url,
            rabbitmq_url,
            TOPOLOGY,
        )
        self._channels = [
            connect(self._through(name, f"//127.0.0.1:{port}").removeprefix("//"), timeout_s=2)
            for name, port in (("waste", self.house.waste_port), ("tasks", self.house.tasks_port))
        ]
        access = vars(servers.s3)
        self._objects = Bucket(**(access | {"endpoint_url": self._through("s3", access["endpoint_url"])}))
        self._redis = cache.connect(self._through("redis", servers.redis_url), progress.DB)
        self._cancelled = Cancellations(self._redis)
        self._worker = Worker(
            [
                Stage(STAGE_RULE_RETRIEVAL, self._find_rule, concurrency=2, prefetch=50, timeout_s=60),
                Stage(STAGE_RESPONSE_GENERATION, self._answer, concurrency=4, prefetch=50, timeout_s=60),
            ],
            Journal(folder),
            self._through("rabbitmq", rabbitmq_url),
            TOPOLOGY,
            WasteInternalServiceStub(self._channels[0]),
            TasksInternalServiceStub(self._channels[1]),
            Announcer(cache.Board(self._redis, progress.CHANNEL, progress.TTL_S), self._cancelled),
            "street",
            # Faults last as long as the test wants.
            max_attempts=10_000,
        )
        self._worker.start()

    def _through(self, name: str, url: str) -> str:
        parts = urlsplit(url)
        if name not in self.proxies:
            self.proxies[name] = Proxy(parts.hostname, parts.port)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.proxies[name].port}"))

    @staticmethod
    def _find_rule(job: AnalysisJob, progress) -> Outcome:
        outcome = Outcome()
        outcome.rule.rule_id = "r"
        return outcome

    def _answer(self, job: AnalysisJob, progress) -> Outcome:
        """Uses the object store and Redis, as the real stages do."""
        key = f"uploads/{job.analysis_id}"
        self._objects.put(key, job.analysis_id.encode(), "image/jpeg")
        progress(50)
        outcome = Outcome()
        outcome.completion.reply.text = self._objects.get(key, 1000).decode()
        return outcome

    def accept(self) -> None:
        self.accepted += len(self.house.accept(JOBS, TOPOLOGY.queues[STAGE_RULE_RETRIEVAL - 1]))

    def answered(self) -> bool:
        return self.house.answered() == self.accepted

    def settled(self) -> bool:
        """Both tasks of each analysis are recorded too."""
        return self.answered() and self.house.recorded() == 2 * self.accepted

    def settle(self, after: str) -> None:
        try:
            eventually(self.settled, WAIT_S)
        except AssertionError as error:
            told, recorded = self.house.answered(), self.house.recorded()
            error.add_note(f"after {after}: {told} answers, {recorded} records of {self.accepted} analyses")
            raise

    def check(self) -> None:
        one = self.house.one
        assert one("SELECT count(*) FROM tasks.task_results") == 2 * self.accepted
        assert one("SELECT count(*) FROM waste.answered WHERE state = 'SUCCEEDED'") == self.accepted
        assert one("SELECT count(*) FROM waste.answered") == self.accepted
        assert one("SELECT count(*) FROM waste.analyses WHERE analysis_result->'advice'->>'text' <> id::text") == 0

    def close(self) -> None:
        for each in self.proxies.values():
            each.set(UP)
        self._worker.close()
        for each in self._channels:
            each.close()
        self._objects.close()
        self._cancelled.close()
        self._redis.close()
        self.house.close()
        for each in self.proxies.values():
            each.close()


@pytest.fixture
def street(postgres, database_name, servers, rabbitmq_url, tmp_path):
    opened = Street(postgres, database_name, servers, rabbitmq_url, tmp_path)
    yield opened
    opened.close()


# Without these the user still gets the answer at once.
ASIDE = {"tasks", "redis"}


def test_each_peer_may_fail_in_every_way(campaign, street):
    chance, cases = campaign.chance(), list(itertools.product(PARTS, FAULTS))
    rounds = campaign.count(quick=10, long=240)
    order = [case for _ in range(-(-rounds // len(cases))) for case in chance.sample(cases, len(cases))][:rounds]
    for part, fault in order:
        proxy = street.proxies[part]
        proxy.set(fault)
        street.accept()
        if part in ASIDE or fault == SLOW:
            eventually(street.answered, WAIT_S)
        else:
            eventually(lambda proxy=proxy: proxy.met > 0, WAIT_S)
        proxy.set(UP)
        street.settle(f"{part} {fault}")
    street.check()
    campaign.report(f"{rounds} faults, {2 * street.accepted} tasks, 0 lost, 0 doubled")


CUTS = {
    "tasks": proxies.grpc_response,
    "waste": proxies.grpc_response,
    "postgres": proxies.postgres_commit,
    "rabbitmq": proxies.amqp_ack,
}


def test_an_answer_cut_off_after_the_commit_is_asked_for_again(campaign, street):
    """The peer has done it, the worker does not know: it asks again, and nothing is done twice."""
    rounds = campaign.count(quick=8, long=200)
    for part in itertools.islice(itertools.cycle(CUTS), rounds):
        proxy = street.proxies[part]
        before = proxy.cuts
        proxy.cut_response(CUTS[part])
        street.accept()
        eventually(lambda proxy=proxy, before=before: proxy.cuts > before, WAIT_S)
        street.settle(f"{part} cut off")
    street.check()
    campaign.report(f"{rounds} answers cut off, {2 * street.accepted} tasks, 0 lost, 0 doubled")


@pytest.mark.skipif(not os.environ.get("FAULTS_LONG"), reason="waits for heartbeats; run by make faults")
def test_peers_that_went_without_a_word_are_found_again(street):
    """What a lost node or a forgetful load balancer leaves behind: connections that look alive and swallow all.

    Not PostgreSQL's: it is TCP that notices there, and this proxy still acknowledges every packet.
    """
    street.accept()
    street.settle("nothing")
    for part in set(PARTS) - {"postgres"}:
        street.proxies[part].forget_connections()
    street.accept()
    street.settle("all forgot their connections")
    street.check()
