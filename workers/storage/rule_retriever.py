"""Stage rule_retrieval: which rule applies to what was seen and asked."""

from __future__ import annotations

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.errors import NotFound
from workers.stages import Progress

TIMEOUT_S = 3.0


class RuleRetriever:
    def __init__(self, rules: internal_pb2_grpc.RecycleInfoInternalServiceStub):
        self._rules = rules

    def run(self, job: AnalysisJob, progress: Progress) -> Outcome:
        """Without any rule the outcome is an empty one: the answer then asks what the thing is and claims nothing."""
        request = internal_pb2.ResolveRuleRequest(
            item_key=job.sight.item_key,
            material=job.sight.material,
            question=job.question,
            language_code=job.language_code,
            unsure=job.sight.unsure,
            region_code=job.region_code,
        )
        try:
            rule = self._rules.ResolveRule(request, timeout=TIMEOUT_S).rule
        except NotFound as fault:
            if fault.reason != "NO_RULE_FOUND":
                raise
            rule = internal_pb2.ResolvedRule()
        progress(50)
        return Outcome(rule=rule)
