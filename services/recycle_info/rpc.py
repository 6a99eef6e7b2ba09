"""eco2.recycle_info.v1: the catalogue for people, and rules for workers."""

from __future__ import annotations

from uuid import UUID

from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2, recycle_info_pb2_grpc

from services.kit import pages
from services.kit.database import Database
from services.recycle_info import store
from services.recycle_info.catalogue import Catalogue, Choice, item_id, rule_id
from services.recycle_info.words import detect_language

_FIRST = ["", UUID(int=0)]


class RecycleInfo(recycle_info_pb2_grpc.RecycleInfoServiceServicer):
    def __init__(self, database: Database, catalogue: Catalogue):
        self._database, self._catalogue = database, catalogue

    def ListItems(self, request, context):
        limit = pages.size(request.page_size)
        rows, cursor = (self._search if request.query else self._browse)(request, limit)
        more = pages.token(cursor, request.query, request.category) if len(rows) > limit else ""
        return recycle_info_pb2.ListItemsResponse(items=map(_item, rows[:limit]), next_page_token=more)

    def GetItem(self, request, context):
        with self._database.reading() as connection:
            row = store.get_item(connection, UUID(request.item_id))
        return recycle_info_pb2.GetItemResponse(item=_item(row))

    def Ask(self, request, context):
        language = detect_language(request.question)
        candidates = [self._answer(choice, language) for choice in self._catalogue.answer(request.question, language)]
        return recycle_info_pb2.AskResponse(answer=candidates[0], candidates=candidates)

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

    def _answer(self, choice: Choice, language: str) -> recycle_info_pb2.Answer:
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
        )


class RecycleInfoInternal(internal_pb2_grpc.RecycleInfoInternalServiceServicer):
    def __init__(self, catalogue: Catalogue):
        self._catalogue = catalogue

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
    )


def _guide(item, language: str) -> recycle_info_pb2.Guide:
    return recycle_info_pb2.Guide(
        description=item[f"description_{language}"],
        bin=item[f"bin_{language}"],
        steps=item[f"steps_{language}"],
        do_not=item[f"do_not_{language}"],
    )
