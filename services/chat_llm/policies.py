"""What a municipality says of what is asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.locations.v1 import locations_pb2 as places_pb2
from eco2.locations.v1.internal_pb2 import FindRegionPolicyResponse

from services.chat_llm import intents
from services.chat_llm.context import Task
from services.chat_llm.facts import Fact
from services.kit.llm.tokens import clip

# Of one answer, and tokens of each.
MOST, TOKENS = 3, 200


def find_facts(task: Task, where: FindRegionPolicyResponse, rules: Sequence[Fact]) -> list[Fact]:
    """What the policy says of what is asked or was found (rules); where it is asked for and says nothing of that, whom
    to ask there."""
    cited = [fact.citation.rule for fact in rules]
    # What recycle_info has from the municipality itself is not said twice.
    own = [rule for rule in cited if not rule.region_name]
    asked, wanted = intents.find_topics(task.question), intents.wants_region(task.question)
    topics = asked | intents.find_category_topics(rule.category_middle for rule in own)
    said = where.policy.rules
    chosen = [rule for rule in said if _topic(rule) in topics or _is_about(rule, own, task.language)]
    if not chosen and wanted and not cited and not asked:
        chosen = said
    if chosen:
        return [_fact(where, _text(rule, task.language), rule.source_url) for rule in chosen[:MOST]]
    if wanted and len(own) == len(cited) and where.HasField("policy"):
        policy = where.policy
        return [_fact(where, f"{policy.department} {policy.phone}".strip(), policy.website_url)]
    return []


def _topic(rule: places_pb2.RegionRule) -> str:
    return places_pb2.RegionTopic.Name(rule.topic)


def _is_about(rule: places_pb2.RegionRule, cited: Sequence[pb.CitedRule], language: str) -> bool:
    """Whether it is of one thing, and that is one of these."""
    text = _text(rule, language).lower()
    return rule.topic == places_pb2.REGION_TOPIC_ITEM and any(each.item_name.lower() in text for each in cited)


def _text(rule: places_pb2.RegionRule, language: str) -> str:
    return rule.text_ko if language == "ko" else rule.text_en


def _fact(where: FindRegionPolicyResponse, text: str, source_url: str) -> Fact:
    region = where.region
    cited = pb.CitedPolicy(region_code=region.region_code, region_name=region.name, source_url=source_url)
    return Fact(pb.Citation(policy=cited), clip(f"{region.name}: {text}", TOKENS))
