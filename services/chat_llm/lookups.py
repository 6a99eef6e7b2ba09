"""What the siblings know about a question: rules, places, municipalities and the user's past analyses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.locations.v1 import internal_pb2 as places_pb2
from eco2.locations.v1.internal_pb2_grpc import LocationsInternalServiceStub
from eco2.recycle_info.v1 import internal_pb2 as rules_pb2
from eco2.recycle_info.v1 import recycle_info_pb2
from eco2.recycle_info.v1.internal_pb2_grpc import RecycleInfoInternalServiceStub
from eco2.recycle_info.v1.recycle_info_pb2_grpc import RecycleInfoServiceStub
from eco2.waste.v1 import internal_pb2 as analyses_pb2
from eco2.waste.v1 import waste_pb2
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.chat_llm import facts, intents, policies
from services.chat_llm.context import Task, subject
from services.chat_llm.facts import Fact, Facts
from services.kit.errors import TRANSIENT, FailedPrecondition, NotFound

log = logging.getLogger(__name__)

TIMEOUT_S = 3.0
# The rules of the country are there without it.
REGION_TIMEOUT_S = 2.0
# As much of a message as recycle_info takes as a question.
QUESTION = 1000
CENTERS, PHOTOS = 3, 2
# Below this the words of a question may fit by chance, and what was spoken of before weighs more.
SURE = 0.75


class Lookups:
    def __init__(
        self,
        rules: RecycleInfoServiceStub,
        resolver: RecycleInfoInternalServiceStub,
        places: LocationsInternalServiceStub,
        analyses: WasteInternalServiceStub,
    ):
        self._rules, self._resolver, self._places, self._analyses = rules, resolver, places, analyses

    def get_analysis(self, user_id: UUID, analysis_id: str) -> waste_pb2.Analysis:
        """One that has its result. Fails with NotFound (ANALYSIS_NOT_FOUND), also for somebody else's, and
        FailedPrecondition (ANALYSIS_NOT_FINISHED)."""
        request = analyses_pb2.FindAnalysesRequest(user_id=str(user_id), analysis_id=analysis_id)
        try:
            (analysis,) = self._analyses.FindAnalyses(request).analyses
        except NotFound:
            raise NotFound("no such analysis", reason="ANALYSIS_NOT_FOUND", analysis_id=analysis_id) from None
        if analysis.state != waste_pb2.ANALYSIS_STATE_SUCCEEDED:
            raise FailedPrecondition("this analysis has no result", reason="ANALYSIS_NOT_FINISHED")
        return analysis

    def gather(self, task: Task, asked: Mapping[str, Any]) -> Facts:
        """Everything that an answer may rest on. Without places or analyses it goes on, and says so; without rules it
        fails with what recycle_info failed with. asked: `analysis_id`, and `near` as [latitude, longitude], if any."""
        missing: set[str] = set()
        photos = self._photos(task, asked.get("analysis_id"), missing)
        near = _near(task, asked.get("near"))
        where = self._find_region(task, near, missing)
        rules = self._find_rules(task, photos, where.region.region_code)
        wanted = intents.wants_region(task.question)
        if wanted:
            # The words are about the municipality, and may name a thing by chance.
            rules = [fact for fact in rules if fact.confidence >= SURE]
        said = policies.find_facts(task, where, rules)
        if wanted and where.HasField("region") and not (said or any(fact.citation.rule.region_name for fact in rules)):
            missing.add("NO_POLICY")
        centers = self._centers(task, rules, near, missing)
        shown = [_photo(each) for each in photos]
        return facts.numbered(Facts(tuple(shown), tuple(rules), tuple(said), tuple(centers), frozenset(missing)))

    def _photos(self, task: Task, analysis_id: str | None, missing: set[str]) -> list[waste_pb2.Analysis]:
        if analysis_id:
            try:
                return [self.get_analysis(task.user_id, analysis_id)]
            except NotFound:
                # Deleted since the message was accepted.
                return []
            except TRANSIENT as fault:
                return _without("ANALYSES_UNAVAILABLE", fault, missing)
        if not intents.wants_analyses(task.question):
            return []
        request = analyses_pb2.FindAnalysesRequest(user_id=str(task.user_id), limit=10)
        try:
            found = self._analyses.FindAnalyses(request).analyses
        except TRANSIENT as fault:
            return _without("ANALYSES_UNAVAILABLE", fault, missing)
        done = [each for each in found if each.state == waste_pb2.ANALYSIS_STATE_SUCCEEDED and each.result.item_name]
        if not done:
            missing.add("NO_ANALYSES")
        return done[:PHOTOS]

    def _find_region(self, task: Task, near: places_pb2.Near, missing: set[str]) -> places_pb2.FindRegionPolicyResponse:
        """The municipality that the question names, or the user's; an empty one where that is not known."""
        wanted = intents.wants_region(task.question)
        request = places_pb2.FindRegionPolicyRequest(near=near, question=task.question[:QUESTION])
        try:
            return self._places.FindRegionPolicy(request, timeout=REGION_TIMEOUT_S)
        except FailedPrecondition:
            missing.update(["NO_PLACE"] if wanted else [])
        except NotFound:
            missing.update(["NO_POLICY"] if wanted else [])
        except TRANSIENT as fault:
            _without("REGION_UNAVAILABLE", fault, missing if wanted else set())
        return places_pb2.FindRegionPolicyResponse()

    def _find_rules(self, task: Task, photos: list[waste_pb2.Analysis], region_code: str) -> list[Fact]:
        question, here = task.question[:QUESTION], (task.language, region_code)
        if photos and not (question := intents.without_photo(question)):
            return []
        several = [self._ask(part, *here) for part in intents.split_things(question)]
        if several and all(found and found[0].confidence >= SURE for found in several):
            # By rule, since two names may lead to one.
            return list({found[0].citation.rule.rule_id: found[0] for found in several}.values())
        found = self._ask(question, *here)
        if found and found[0].confidence >= SURE:
            return found[:1]
        about = photos[0].result.item_name if photos else subject(task.turns)
        if about and intents.refers_back(question):
            found = self._resolve(f"{about} {question}"[:QUESTION], *here) or found
        told = {each.result.advice.text for each in photos}
        return [each for each in found[:1] if each.text not in told]

    def _ask(self, question: str, language: str, region_code: str) -> list[Fact]:
        if intents.detect_language(question) != language:
            return self._resolve(question, language, region_code)
        request = recycle_info_pb2.AskRequest(question=question, region_code=region_code)
        try:
            answer = self._rules.Ask(request).answer
        except NotFound:
            return []
        return [_rule(answer, answer.confidence)]

    def _resolve(self, question: str, language: str, region_code: str) -> list[Fact]:
        request = rules_pb2.ResolveRuleRequest(
            question=question, language_code=language, unsure=True, region_code=region_code
        )
        try:
            rule = self._resolver.ResolveRule(request).rule
        except NotFound:
            return []
        return [_rule(rule, rule.question_confidence)]

    def _centers(self, task: Task, rules: list[Fact], near: places_pb2.Near, missing: set[str]) -> list[Fact]:
        wanted = intents.wants_places(task.question)
        about = [(fact.citation.rule.category_middle, fact.text) for fact in rules]
        kind = intents.find_center_kind(task.question, about)
        if not wanted and not (kind and rules):
            return []
        if rules and kind is None:
            # It goes into the bins at home.
            return []
        request = places_pb2.FindCentersRequest(near=near, kind=kind, limit=CENTERS)
        try:
            centers = self._places.FindCenters(request).centers
        except FailedPrecondition:
            if wanted:
                missing.add("NO_PLACE")
            return []
        except TRANSIENT as fault:
            return _without("PLACES_UNAVAILABLE", fault, missing)
        if wanted and not centers:
            missing.add("NO_CENTERS")
        return [_center(each) for each in centers]


def _near(task: Task, given: list[float] | None) -> places_pb2.Near:
    """given: [latitude, longitude]; without it, the user's place."""
    if given:
        return places_pb2.Near(coordinates=places_pb2.Coordinates(latitude=given[0], longitude=given[1]))
    return places_pb2.Near(user_id=str(task.user_id))


def _without(what: str, fault: Exception, missing: set[str]) -> list:
    log.warning("an answer goes without: %s", fault, extra={"fields": {"missing": what}})
    missing.add(what)
    return []


def _rule(rule: Any, confidence: float) -> Fact:
    """rule: an Answer or a ResolvedRule, which name these fields alike."""
    cited = pb.CitedRule(
        rule_id=rule.rule_id,
        item_id=rule.item_id,
        item_name=rule.item_name,
        category_major=rule.category_major,
        category_middle=rule.category_middle,
        source_url=rule.source_url,
        region_name=rule.region_name,
    )
    return Fact(pb.Citation(rule=cited), rule.text, confidence)


def _photo(analysis: waste_pb2.Analysis) -> Fact:
    cited = pb.CitedAnalysis(
        analysis_id=analysis.analysis_id,
        item_name=analysis.result.item_name,
        create_time=analysis.create_time,
        rule_id=analysis.result.rule_id,
        source_url=analysis.result.source_url,
    )
    return Fact(pb.Citation(analysis=cited), analysis.result.advice.text)


def _center(center: Any) -> Fact:
    cited = pb.CitedCenter(
        center_id=center.center_id,
        name=center.name,
        address=center.address,
        latitude=center.latitude,
        longitude=center.longitude,
        distance_m=center.distance_m,
        source_url=center.source_url,
    )
    far = f"{center.distance_m / 1000:.1f} km" if center.distance_m >= 1000 else f"{center.distance_m:.0f} m"
    phone = f", {center.phone}" if center.phone else ""
    return Fact(pb.Citation(center=cited), f"{center.name}, {far}, {center.address}{phone}")
