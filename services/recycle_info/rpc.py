"""eco2.recycle_info.v1: the catalogue for people, and rules for workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2, recycle_info_pb2_grpc

from services.kit import pages, tombstones
from services.kit.caller import find_caller, get_caller
from services.kit.database import Database
from services.recycle_info import query_store, store
from services.recycle_info.catalogue import Catalogue, Choice, item_id, rule_id
from services.recycle_info.corpus import ENGLISH, Item
from services.recycle_info.queries import Queries
from services.recycle_info.rules import Rules
from services.recycle_info.words import detect_language, identity, is_hangul

_FIRST = ["", UUID(int=0)]
_LAST = [datetime.max.replace(tzinfo=UTC), UUID(int=(1 << 128) - 1)]
# Suggestions at once: the default, and the most.
_FEW, _MANY = 10, 20


class RecycleInfo(recycle_info_pb2_grpc.RecycleInfoServiceServicer):
    def __init__(self, database: Database, rules: Rules, queries: Queries):
        self._database, self._rules, self._queries = database, rules, queries

    def ListItems(self, request, context):
        limit, catalogue = pages.size(request.page_size), self._rules.current
        rows, cursor = (self._search if request.query else self._browse)(request, catalogue, limit)
        more = pages.token(cursor, *_filters(request)) if len(rows) > limit else ""
        items = catalogue.items_in(request.region_code)
        there = [(identifier, rule, items.get(item["key"], item)) for identifier, rule, item in rows[:limit]]
        return recycle_info_pb2.ListItemsResponse(items=map(_item, there), next_page_token=more)

    def GetItem(self, request, context):
        with self._database.reading() as connection:
            identifier, rule, item = store.get_item(connection, UUID(request.item_id))
        items = self._rules.current.items_in(request.region_code)
        item = items.get(item["key"], item)
        return recycle_info_pb2.GetItemResponse(
            item=_item((identifier, rule, item)),
            situations=[_situation(situation, items) for situation in item["situations"]],
        )

    def SuggestItems(self, request, context):
        catalogue = self._rules.current
        found = catalogue.suggestions.find(request.query, min(request.page_size or _FEW, _MANY))
        items = catalogue.items_in(request.region_code)
        return recycle_info_pb2.SuggestItemsResponse(suggestions=[_suggestion(items[key], name) for key, name in found])

    def ListCategories(self, request, context):
        return recycle_info_pb2.ListCategoriesResponse(
            categories=[
                recycle_info_pb2.Category(
                    name=major,
                    name_en=ENGLISH[major],
                    item_count=count,
                    categories=[
                        recycle_info_pb2.Category(name=name, name_en=ENGLISH[name], item_count=number)
                        for name, number in middles
                    ],
                )
                for major, count, middles in self._rules.current.list_categories(request.region_code)
            ]
        )

    def ListQueries(self, request, context):
        user_id, limit = get_caller(context).user_id, pages.size(request.page_size)
        before = pages.cursor(request.page_token, (datetime.fromisoformat, UUID), user_id) or _LAST
        with self._database.reading() as connection:
            rows = query_store.list_queries(connection, user_id, tuple(before), limit + 1)
        more = ""
        if len(rows) > limit:
            last = rows[limit - 1]
            more = pages.token([last.created_at.isoformat(), str(last.id)], user_id)
        return recycle_info_pb2.ListQueriesResponse(queries=map(_query, rows[:limit]), next_page_token=more)

    def Ask(self, request, context):
        language, caller, catalogue = detect_language(request.question), find_caller(context), self._rules.current
        kept = {"language_code": language}
        try:
            choices = catalogue.answer(request.question, language, region_code=request.region_code)
            candidates = [_answer(catalogue, choice, language) for choice in choices]
            best = candidates[0]
            kept |= {"item_id": best.item_id, "item_name": best.item_name, "confidence": best.confidence}
        finally:
            # Also what led to nothing: that is what the rules lack.
            if caller:
                self._queries.keep(caller.user_id, request.question, kept)
        return recycle_info_pb2.AskResponse(answer=best, candidates=candidates)

    def _search(self, request, catalogue: Catalogue, limit: int):
        (start,) = pages.cursor(request.page_token, (int,), *_filters(request)) or [0]
        keys = catalogue.search(request.query, request.category, request.region_code)[start : start + limit + 1]
        with self._database.reading() as connection:
            return store.list_by_key(connection, keys), [start + limit]

    def _browse(self, request, catalogue: Catalogue, limit: int):
        after = pages.cursor(request.page_token, (str, UUID), *_filters(request)) or _FIRST
        keys = catalogue.keys_of(request.category, request.region_code) if request.category else None
        with self._database.reading() as connection:
            rows = store.list_page(connection, keys, after, limit + 1)
        last = rows[:limit][-1] if rows else None
        return rows, last and [last[2]["name_ko"], str(last[0])]


class RecycleInfoInternal(internal_pb2_grpc.RecycleInfoInternalServiceServicer):
    def __init__(self, rules: Rules, database: Database):
        self._rules, self._database = rules, database

    def ResolveRule(self, request, context):
        material = recycle_info_pb2.Material.Name(request.material).removeprefix("MATERIAL_")
        language, catalogue = request.language_code, self._rules.current
        choice = catalogue.settle(
            request.item_key, material, request.question, language, request.unsure, request.region_code
        )
        thing, item = catalogue.items[choice.key], choice.advice.item
        rule = internal_pb2.ResolvedRule(
            rule_id=str(rule_id(item["key"])),
            item_id=str(item_id(choice.key)),
            item_key=choice.key,
            item_name=thing[f"name_{language}"],
            material=f"MATERIAL_{thing['material']}",
            category_major=item["category_major"],
            category_middle=item["category_middle"],
            bin=choice.advice.bin,
            steps=choice.advice.steps,
            warnings=choice.advice.warnings,
            text=choice.advice.text,
            source_url=item["source_url"],
            regional=item["regional"],
            from_question=choice.score > 0,
            question_confidence=choice.score,
            region_name=item.get("region", ""),
        )
        return internal_pb2.ResolveRuleResponse(rule=rule)

    def EraseUser(self, request, context):
        removed = tombstones.erase(self._database, UUID(request.user_id), query_store.delete_user)
        return internal_pb2.EraseUserResponse(removed_count=removed)


def _filters(request: recycle_info_pb2.ListItemsRequest) -> tuple[str, ...]:
    """What a page token belongs to; without a region as it was when there was none, for tokens of older servers."""
    return (request.query, request.category, *filter(None, [request.region_code]))


def _answer(catalogue: Catalogue, choice: Choice, language: str) -> recycle_info_pb2.Answer:
    item = choice.advice.item
    return recycle_info_pb2.Answer(
        item_id=str(item_id(choice.key)),
        item_name=catalogue.items[choice.key][f"name_{language}"],
        category_major=item["category_major"],
        category_middle=item["category_middle"],
        rule_id=str(rule_id(item["key"])),
        source_url=item["source_url"],
        text=choice.advice.text,
        confidence=choice.score,
        region_name=item.get("region", ""),
    )


def _suggestion(item: Item, name: str) -> recycle_info_pb2.Suggestion:
    return recycle_info_pb2.Suggestion(
        item_id=str(item_id(item["key"])),
        name=name,
        item_name=item["name_ko" if is_hangul(name) else "name_en"],
        category_middle=item["category_middle"],
    )


def _query(row) -> recycle_info_pb2.Query:
    query = recycle_info_pb2.Query(query_id=str(row.id), question=row.query, **row.result)
    query.create_time.FromDatetime(row.created_at)
    return query


def _item(row: store.Row) -> recycle_info_pb2.Item:
    identifier, rule, item = row
    return recycle_info_pb2.Item(
        item_id=str(identifier),
        rule_id=str(rule),
        key=item["key"],
        name_ko=item["name_ko"],
        name_en=item["name_en"],
        aliases=[*item["aliases_ko"], *item["aliases_en"]],
        material=f"MATERIAL_{item['material']}",
        category_major=item["category_major"],
        category_middle=item["category_middle"],
        guide_ko=_guide(item, "ko"),
        guide_en=_guide(item, "en"),
        source_url=item["source_url"],
        regional=item["regional"],
        contact=item.get("contact", ""),
        region_name=item.get("region", ""),
    )


def _guide(item: Item, language: str) -> recycle_info_pb2.Guide:
    names: dict[str, str] = {}
    for name in (item[f"name_{language}"], *item[f"aliases_{language}"]):
        names.setdefault(identity(name), name)
    return recycle_info_pb2.Guide(
        description=item[f"description_{language}"],
        bin=item[f"bin_{language}"],
        steps=item[f"steps_{language}"],
        do_not=item[f"do_not_{language}"],
        if_sound=item.get(f"if_sound_{language}", []),
        names=names.values(),
    )


def _situation(situation, items: Mapping[str, Item]) -> recycle_info_pb2.Situation:
    told = recycle_info_pb2.Situation(
        tag=situation["tag"], steps_ko=situation["steps_ko"], steps_en=situation["steps_en"]
    )
    if "move_to" in situation:
        target = items[situation["move_to"]]
        told.moves_to_item_id = str(item_id(target["key"]))
        told.moves_to_name_ko, told.moves_to_name_en = target["name_ko"], target["name_en"]
    return told
