"""The recycle_info service over the wire, on real PostgreSQL."""

import pytest
import sqlalchemy as sa
from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2, recycle_info_pb2_grpc

from services.kit.errors import InvalidArgument, NotFound
from services.recycle_info import corpus, store
from services.recycle_info.catalogue import Catalogue, documents, item_id, rule_id
from services.recycle_info.embedder import Embedder
from services.recycle_info.meanings import Meanings
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal


@pytest.fixture
def recycle_info(database, serve):
    """(public stub, internal stub, Database)."""
    db, items = database("recycle_info"), corpus.load()
    with db.writing() as tx:
        store.sync_items(tx, [(item_id(key), rule_id(key), item) for key, item in items.items()])
    catalogue = Catalogue(items, Meanings.load(documents(items), Embedder()))
    channel = serve(
        (recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, RecycleInfo(db, catalogue)),
        (internal_pb2_grpc.add_RecycleInfoInternalServiceServicer_to_server, RecycleInfoInternal(catalogue)),
    )
    return (
        recycle_info_pb2_grpc.RecycleInfoServiceStub(channel),
        internal_pb2_grpc.RecycleInfoInternalServiceStub(channel),
        db,
    )


def listed(public, **filters) -> list[str]:
    """Keys of all pages."""
    keys, token = [], ""
    while True:
        page = public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=7, page_token=token, **filters))
        keys += [item.key for item in page.items]
        token = page.next_page_token
        if not token:
            return keys


def test_browsing_gives_every_item_once(recycle_info):
    public, _, _ = recycle_info
    keys = listed(public)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(corpus.load())


def test_a_category_filters_by_major_or_middle(recycle_info):
    public, _, _ = recycle_info
    items = corpus.load()
    for category in ("유리병", "재활용폐기물"):
        expected = {key for key, item in items.items() if category in (item["category_major"], item["category_middle"])}
        assert set(listed(public, category=category)) == expected
    assert listed(public, query="병", category="종이") == []


@pytest.mark.parametrize(
    ("query", "key"), [("우유팩", "milk_carton"), ("milk carton", "milk_carton"), ("부탄가스", "butane_can")]
)
def test_searching_finds_names_in_both_languages(recycle_info, query, key):
    public, _, _ = recycle_info
    assert public.ListItems(recycle_info_pb2.ListItemsRequest(query=query)).items[0].key == key


def test_an_item_comes_with_its_rule_in_two_languages_and_its_source(recycle_info):
    public, _, _ = recycle_info
    item = public.GetItem(recycle_info_pb2.GetItemRequest(item_id=str(item_id("glass_bottle")))).item
    assert (item.key, item.category_middle, item.rule_id) == ("glass_bottle", "유리병", str(rule_id("glass_bottle")))
    assert item.guide_ko.steps
    assert item.guide_en.steps
    assert item.source_url.startswith("https://")


def test_an_unknown_item_is_not_found_and_a_bad_id_named(recycle_info):
    public, _, _ = recycle_info
    with pytest.raises(NotFound) as caught:
        public.GetItem(recycle_info_pb2.GetItemRequest(item_id=str(item_id("no such key"))))
    assert caught.value.reason == "ITEM_NOT_FOUND"
    with pytest.raises(InvalidArgument) as caught:
        public.GetItem(recycle_info_pb2.GetItemRequest(item_id="7"))
    assert caught.value.violations[0][0] == "item_id"


def test_a_page_token_of_another_search_is_refused(recycle_info):
    public, _, _ = recycle_info
    token = public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=1)).next_page_token
    for wrong in (token[:-4], "nonsense"):
        with pytest.raises(InvalidArgument) as caught:
            public.ListItems(recycle_info_pb2.ListItemsRequest(page_token=wrong))
        assert caught.value.violations[0][0] == "page_token"
    with pytest.raises(InvalidArgument):
        public.ListItems(recycle_info_pb2.ListItemsRequest(page_token=token, category="종이"))


def test_a_question_is_answered_in_its_language_with_a_source(recycle_info):
    public, _, _ = recycle_info
    korean = public.Ask(recycle_info_pb2.AskRequest(question="깨진 유리컵은 어떻게 버려요?")).answer
    assert (korean.category_major, korean.source_url[:8]) == ("불연성종량제폐기물", "https://")
    english = public.Ask(recycle_info_pb2.AskRequest(question="where do I put a milk carton?"))
    assert english.answer.item_name == corpus.load()["milk_carton"]["name_en"]
    assert english.answer == english.candidates[0]
    assert len(english.candidates) <= 3


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("오늘 서울 날씨 알려줘", "물건의 이름을 알려 주시면"),
        ("what's the weather in Seoul", "Tell me the name of the thing"),
    ],
)
def test_a_question_about_something_else_is_declined_kindly_in_its_language(recycle_info, question, words):
    public, _, _ = recycle_info
    with pytest.raises(NotFound, match=words) as caught:
        public.Ask(recycle_info_pb2.AskRequest(question=question))
    assert caught.value.reason == "NO_RULE_FOUND"


def resolve(internal, **fields) -> internal_pb2.ResolvedRule:
    fields.setdefault("language_code", "ko")
    return internal.ResolveRule(internal_pb2.ResolveRuleRequest(**fields)).rule


def test_every_known_material_leads_to_a_rule(recycle_info):
    _, internal, _ = recycle_info
    for name in corpus.DEFAULTS:
        rule = resolve(internal, material=f"MATERIAL_{name}")
        assert (rule.item_key, rule.from_question) == (corpus.DEFAULTS[name], False)
        assert rule.steps
        assert rule.source_url


def test_a_situation_in_the_question_changes_the_rule(recycle_info):
    _, internal, _ = recycle_info
    clean = resolve(internal, item_key="pizza_box")
    dirty = resolve(internal, item_key="pizza_box", question="기름이 잔뜩 묻었어요")
    assert (clean.category_major, dirty.category_major) == ("재활용폐기물", "일반종량제폐기물")
    assert dirty.item_key == "pizza_box"


def test_the_words_decide_what_the_photo_left_open(recycle_info):
    _, internal, _ = recycle_info
    rule = resolve(internal, material="MATERIAL_UNKNOWN", unsure=True, question="우유팩이에요")
    assert (rule.item_key, rule.from_question) == ("milk_carton", True)
    with pytest.raises(NotFound) as caught:
        resolve(internal, material="MATERIAL_UNKNOWN", unsure=True)
    assert caught.value.reason == "NO_RULE_FOUND"


def test_syncing_again_changes_nothing_and_forgets_what_left_the_corpus(recycle_info):
    _, _, db = recycle_info
    items = corpus.load()
    kept = [(item_id(key), rule_id(key), item) for key, item in list(items.items())[:3]]
    for _ in range(2):
        with db.writing() as tx:
            store.sync_items(tx, kept)
        with db.reading() as connection:
            assert {row[2]["key"] for row in store.list_all(connection)} == {item["key"] for _, _, item in kept}
            assert connection.execute(sa.text("SELECT count(*) FROM recycling_rules")).scalar() == 3
