"""eco2.recycle_info.v1: the catalogue for people, and rules for workers."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2, recycle_info_pb2_grpc

from services.kit import pages, tombstones
from services.kit.caller import find_caller, get_caller
from services.kit.database import Database
from services.recycle_info import query_store, store
from services.recycle_info.catalogue import Catalogue, Choice, Region, item_id, rule_id
from services.recycle_info.queries import Queries
from services.recycle_info.suggestions import Suggestions
from services.recycle_info.words import detect_language, is_hangul

_FIRST = ["", UUID(int=0)]
_LAST = [datetime.max.replace(tzinfo=UTC), UUID(int=(1 << 128) - 1)]
# Suggestions at once: the default, and the most.
_FEW, _MANY = 10, 20


class RecycleInfo(recycle_info_pb2_grpc.RecycleInfoServiceServicer):
    def __init__(self, database: Database, catalogue: Catalogue, queries: Queries):
        self._database, self._catalogue, self._queries = database, catalogue, queries
        self._suggestions = Suggestions(catalogue.items)

    def ListItems(self, request, context):
        limit = pages.size(request.page_size)
        rows, cursor = (self._search if request.query else self._browse)(request, limit)
        more = pages.token(cursor, request.query, request.category) if len(rows) > limit else ""
        return recycle_info_pb2.ListItemsResponse(items=map(_item, rows[:limit]), next_page_token=more)

    def GetItem(self, request, context):
        with self._database.reading() as connection:
            identifier, rule, item = store.get_item(connection, UUID(request.item_id))
        region = self._catalogue.in_region(request.region_code)
        local = region.items.get(item["key"], item)
        return recycle_info_pb2.GetItemResponse(item=_item((identifier, rule, local), self._differs(local, region)))

    def SuggestItems(self, request, context):
        found = self._suggestions.find(request.query, min(request.page_size or _FEW, _MANY))
        return recycle_info_pb2.SuggestItemsResponse(suggestions=[self._suggestion(*each) for each in found])

    def ListCategories(self, request, context):
        return recycle_info_pb2.ListCategoriesResponse(
            categories=[
                recycle_info_pb2.Category(
                    name=major,
                    item_count=count,
                    categories=[recycle_info_pb2.Category(name=name, item_count=number) for name, number in middles],
                )
                for major, count, middles in self._catalogue.list_categories()
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
        language, caller = detect_language(request.question), find_caller(context)
        kept = {"language_code": language}
        try:
            choices = self._catalogue.answer(request.question, language, region_code=request.region_code)
            region = self._catalogue.in_region(request.region_code)
            candidates = [self._answer(choice, language, region) for choice in choices]
            best = candidates[0]
            kept |= {"item_id": best.item_id, "item_name": best.item_name, "confidence": best.confidence}
        finally:
            # Also what led to nothing: that is what the rules lack.
            if caller:
                self._queries.keep(caller.user_id, request.question, kept)
        return recycle_info_pb2.AskResponse(answer=best, candidates=candidates)

    def _search(self, request, limit):
        (start,) = pages.cursor(request.page_token, (int,), request.query, request.category) or [0]
        keys = self._catalogue.search(request.query, request.category)[start : start + limit + 1]
        with self._database.reading() as connection:
            return store.list_by_key(connection, keys), [start + limit]

    def _browse(self, request, limit):
        after = pages.cursor(request.page_token, (str, UUID), request.query, request.category) or _FIRST
        with self._database.reading() as connection:
            rows = store.list_page(connection, request.category, after, limit + 1)
        last = rows[:limit][-1] if rows else None
        return rows, last and [last[2]["name_ko"], str(last[0])]

    def _differs(self, item, region: Region) -> str:
        """The name of the region when the item is in its own form."""
        return region.name if item != self._catalogue.items.get(item["key"]) else ""

    def _suggestion(self, key: str, name: str) -> recycle_info_pb2.Suggestion:
        item = self._catalogue.items[key]
        return recycle_info_pb2.Suggestion(
            item_id=str(item_id(key)),
            name=name,
            item_name=item["name_ko" if is_hangul(name) else "name_en"],
            category_middle=item["category_middle"],
        )

    def _answer(self, choice: Choice, language: str, region: Region) -> recycle_info_pb2.Answer:
        item = choice.advice.item
        return recycle_info_pb2.Answer(
            item_id=str(item_id(choice.key)),
            item_name=self._catalogue.items[choice.key][f"name_{language}"],
            category_major=item["category_major"],
            category_middle=item["category_middle"],
            rule_id=str(rule_id(item["key"])),
            source_url=item["source_url"],
            text=choice.advice.text,
            confidence=choice.score,
            region_name=self._differs(item, region),
        )


class RecycleInfoInternal(internal_pb2_grpc.RecycleInfoInternalServiceServicer):
    def __init__(self, catalogue: Catalogue, database: Database):
        self._catalogue, self._database = catalogue, database

    def ResolveRule(self, request, context):
        material = recycle_info_pb2.Material.Name(request.material).removeprefix("MATERIAL_")
        language = request.language_code
        choice = self._catalogue.settle(request.item_key, material, request.question, language, request.unsure)
        thing, item = self._catalogue.items[choice.key], choice.advice.item
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
        )
        return internal_pb2.ResolveRuleResponse(rule=rule)

    def EraseUser(self, request, context):
        user_id = UUID(request.user_id)
        with self._database.writing() as tx:
            tombstones.bury(tx, user_id)
        with self._database.writing() as tx:
            removed = tombstones.count_removed(tx, user_id, query_store.delete_user(tx, user_id))
        return internal_pb2.EraseUserResponse(removed_count=removed)


def _query(row) -> recycle_info_pb2.Query:
    query = recycle_info_pb2.Query(query_id=str(row.id), question=row.query, **row.result)
    query.create_time.FromDatetime(row.created_at)
    return query


def _item(row: store.Row, region_name: str = "") -> recycle_info_pb2.Item:
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
        region_name=region_name,
    )


def _guide(item, language: str) -> recycle_info_pb2.Guide:
    return recycle_info_pb2.Guide(
        description=item[f"description_{language}"],
        bin=item[f"bin_{language}"],
        steps=item[f"steps_{language}"],
        do_not=item[f"do_not_{language}"],
    )
