"""From rows and workers' findings to what the user is shown. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

import sqlalchemy as sa
from eco2.recycle_info.v1.recycle_info_pb2 import Material
from eco2.waste.v1 import internal_pb2, waste_pb2
from google.protobuf import json_format

from services.kit.errors import invalid

ENDED = frozenset(
    {waste_pb2.ANALYSIS_STATE_SUCCEEDED, waste_pb2.ANALYSIS_STATE_FAILED, waste_pb2.ANALYSIS_STATE_CANCELLED}
)


def to_json(message) -> dict:
    """As stored in jsonb: proto JSON with the proto's field names."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def request_hash(request: waste_pb2.CreateAnalysisRequest) -> bytes:
    """Equal for requests that ask for the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def compose(completion: internal_pb2.Completion) -> waste_pb2.AnalysisResult:
    """The answer from what was seen, the rule and the words. What the user said of the thing outweighs the photo."""
    sight, rule, reply = completion.sight, completion.rule, completion.reply
    result = waste_pb2.AnalysisResult(
        material=rule.material if rule.rule_id else sight.material,
        item_id=rule.item_id,
        item_name=rule.item_name,
        category_major=rule.category_major,
        category_middle=rule.category_middle,
        confidence=round(rule.question_confidence if rule.from_question else sight.confidence, 4),
        advice=waste_pb2.Advice(
            steps=reply.steps,
            warnings=reply.warnings,
            text=reply.text,
            provider=reply.provider,
            model=reply.model,
            prompt_version=reply.prompt_version,
            fallback_reason=reply.fallback_reason,
        ),
        rule_id=rule.rule_id,
        source_url=rule.source_url,
        provider=sight.provider,
        cached=sight.cached,
        bin=rule.bin,
        model=sight.model,
        prompt_version=sight.prompt_version,
        region_name=rule.region_name,
    )
    if reply.follow_up_question:
        result.follow_up_question = reply.follow_up_question
    return result


def completed_row(analysis_id: str, completion: internal_pb2.Completion) -> dict:
    result = compose(completion)
    return {
        "analysis_id": analysis_id,
        "material": Material.Name(result.material),
        "confidence": result.confidence,
        "result": to_json(result),
    }


def analysis(row: sa.Row, progress: Mapping[str, str], sign: Callable[[str], str]) -> waste_pb2.Analysis:
    """progress: the live hash of a running analysis, or empty. sign: object key → short-lived URL."""
    made = waste_pb2.Analysis(
        analysis_id=str(row.id),
        image_id=str(row.image_id),
        state=f"ANALYSIS_STATE_{row.state}",
        question=row.question,
        create_time=row.created_at,
        region_code=row.region_code,
    )
    if made.state in ENDED:
        made.progress = 100
        made.complete_time.FromDatetime(row.completed_at)
    elif progress:
        made.state = waste_pb2.ANALYSIS_STATE_RUNNING
        # 100 is for what has ended, and only the database says so.
        made.progress = min(int(progress["progress"]), 99)
        made.stage = progress["stage"]
    if row.failure_reason:
        made.failure.reason, made.failure.message = row.failure_reason, row.failure_message
        if row.failure_retry_at:
            made.failure.retry_time.FromDatetime(row.failure_retry_at)
    if row.analysis_result:
        json_format.ParseDict(row.analysis_result, made.result, ignore_unknown_fields=True)
    if row.clean_key:
        made.image_url, made.thumbnail_url = sign(row.clean_key), sign(row.thumbnail_key)
    if row.updated_at:
        made.feedback.CopyFrom(feedback(row))
    return made


def feedback(said) -> waste_pb2.Feedback:
    """said: correct, comment, true_material, true_category, true_item_id, updated_at; None where nothing was said."""
    return waste_pb2.Feedback(
        correct=said.correct,
        comment=said.comment,
        true_material=said.true_material,
        true_category=said.true_category,
        true_item_id=said.true_item_id,
        update_time=said.updated_at,
    )


def feedback_row(request: waste_pb2.CreateFeedbackRequest) -> dict[str, Any]:
    """What the user says, as columns. Fails with InvalidArgument where a right answer is said to have been another."""
    truth = {
        "true_material": Material.Name(request.true_material) if request.true_material else None,
        "true_category": request.true_category or None,
        "true_item_id": request.true_item_id or None,
    }
    if request.correct:
        for field in filter(truth.get, truth):
            raise invalid(field, "is only for an answer that was wrong")
    return {"correct": request.correct, "comment": request.comment, **truth}


def filters(request: waste_pb2.ListAnalysesRequest | waste_pb2.GetStatisticsRequest) -> dict[str, Any]:
    """What narrows a list or a count, as history_store takes it. Fails with InvalidArgument for what is no time."""
    found: dict[str, Any] = {}
    if isinstance(request, waste_pb2.ListAnalysesRequest):
        found = {name: getattr(request, name) for name in ("category_major", "category_middle", "item_id")}
        if request.state:
            found["state"] = waste_pb2.AnalysisState.Name(request.state).removeprefix("ANALYSIS_STATE_")
        if request.material:
            found["material"] = Material.Name(request.material)
    for field in ("after_time", "before_time"):
        if request.HasField(field):
            try:
                found[field] = getattr(request, field).ToDatetime(UTC)
            except (ValueError, OverflowError):
                raise invalid(field, "is not a time between the years 1 and 9999") from None
    return {name: value for name, value in found.items() if value}


def statistics(counts: Mapping[str, Mapping[str, int]]) -> waste_pb2.GetStatisticsResponse:
    """counts: as history_store.count_analyses gives them."""
    return waste_pb2.GetStatisticsResponse(
        total_count=sum(counts["state"].values()),
        by_state=[
            waste_pb2.StateCount(state=f"ANALYSIS_STATE_{state}", count=count)
            for state, count in counts["state"].items()
        ],
        by_material=[
            waste_pb2.MaterialCount(material=material, count=count) for material, count in counts["material"].items()
        ],
        by_category=[
            waste_pb2.CategoryCount(category_major=category, count=count)
            for category, count in counts["category"].items()
        ],
        by_month=[
            waste_pb2.MonthCount(month=month, count=count) for month, count in sorted(counts["month"].items())[::-1]
        ],
    )


def language(question: str) -> str:
    """The language to answer in: English for a question that has Latin letters and no Hangul, else Korean."""
    hangul = any("가" <= letter <= "힣" or "ㄱ" <= letter <= "ㆎ" for letter in question)
    latin = any(letter.isascii() and letter.isalpha() for letter in question)
    return "en" if latin and not hangul else "ko"
