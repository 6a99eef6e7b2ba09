"""The recycle_info service over the wire, on real PostgreSQL."""

import socket
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc, recycle_info_pb2, recycle_info_pb2_grpc

from services.kit import pages
from services.kit.database import Database
from services.kit.errors import InvalidArgument, NotFound, Unauthenticated, Unavailable
from services.recycle_info import corpus, store
from services.recycle_info.catalogue import item_id, rule_id
from services.recycle_info.embedder import Embedder
from services.recycle_info.queries import Queries
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal
from services.recycle_info.rules import Rules
from tests.conftest import as_user, together


@pytest.fixture
def recycle_info(in_force, serve):
    """(public stub, internal stub, Database, Queries)."""
    rules, db = in_force.rules, in_force.database
    queries = Queries(db, lambda: datetime.now(UTC), 365, 100, wake=lambda: None)
    channel = serve(
        (recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, RecycleInfo(db, rules, queries)),
        (internal_pb2_grpc.add_RecycleInfoInternalServiceServicer_to_server, RecycleInfoInternal(rules, db)),
    )
    return (
        recycle_info_pb2_grpc.RecycleInfoServiceStub(channel),
        internal_pb2_grpc.RecycleInfoInternalServiceStub(channel),
        db,
        queries,
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
    public, _, _, _ = recycle_info
    keys = listed(public)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(corpus.load())


def test_a_category_filters_by_major_or_middle(recycle_info):
    public, _, _, _ = recycle_info
    items = corpus.load()
    for category in ("유리병", "재활용폐기물"):
        expected = {key for key, item in items.items() if category in (item["category_major"], item["category_middle"])}
        assert set(listed(public, category=category)) == expected
    assert listed(public, query="병", category="종이") == []


@pytest.mark.parametrize(
    ("query", "key"), [("우유팩", "milk_carton"), ("milk carton", "milk_carton"), ("부탄가스", "butane_can")]
)
def test_searching_finds_names_in_both_languages(recycle_info, query, key):
    public, _, _, _ = recycle_info
    assert public.ListItems(recycle_info_pb2.ListItemsRequest(query=query)).items[0].key == key


def test_an_item_comes_with_its_rule_in_two_languages_and_its_source(recycle_info):
    public, _, _, _ = recycle_info
    item = public.GetItem(recycle_info_pb2.GetItemRequest(item_id=str(item_id("glass_bottle")))).item
    assert (item.key, item.category_middle, item.rule_id) == ("glass_bottle", "유리병", str(rule_id("glass_bottle")))
    assert item.guide_ko.steps
    assert item.guide_en.steps
    assert item.source_url.startswith("https://")


def test_an_item_comes_with_its_names_and_what_changes_in_which_situation(recycle_info):
    public, _, _, _ = recycle_info
    answer = public.GetItem(recycle_info_pb2.GetItemRequest(item_id=str(item_id("paper_sheet"))))
    item = corpus.load()["paper_sheet"]
    assert [each.tag for each in answer.situations] == [each["tag"] for each in item["situations"]]
    dirty = next(each for each in answer.situations if each.tag == "dirty")
    assert dirty.moves_to_item_id == str(item_id("general_waste"))
    assert (dirty.moves_to_name_ko, dirty.moves_to_name_en) == (
        corpus.load()["general_waste"]["name_ko"],
        corpus.load()["general_waste"]["name_en"],
    )
    wet = next(each for each in answer.situations if each.tag == "wet")
    assert (wet.moves_to_item_id, list(wet.steps_en)) == ("", ["Dry it first"])
    names = list(answer.item.guide_en.names)
    assert names[0] == item["name_en"]
    assert set(names) <= {item["name_en"], *item["aliases_en"]}
    assert len({name.casefold().rstrip("s") for name in names}) == len(names)


def test_an_unknown_item_is_not_found_and_a_bad_id_named(recycle_info):
    public, _, _, _ = recycle_info
    with pytest.raises(NotFound) as caught:
        public.GetItem(recycle_info_pb2.GetItemRequest(item_id=str(item_id("no such key"))))
    assert caught.value.reason == "ITEM_NOT_FOUND"
    with pytest.raises(InvalidArgument) as caught:
        public.GetItem(recycle_info_pb2.GetItemRequest(item_id="7"))
    assert caught.value.violations[0][0] == "item_id"


def test_a_page_token_of_another_search_is_refused(recycle_info):
    public, _, _, _ = recycle_info
    token = public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=1)).next_page_token
    for wrong in (token[:-4], "nonsense"):
        with pytest.raises(InvalidArgument) as caught:
            public.ListItems(recycle_info_pb2.ListItemsRequest(page_token=wrong))
        assert caught.value.violations[0][0] == "page_token"
    with pytest.raises(InvalidArgument):
        public.ListItems(recycle_info_pb2.ListItemsRequest(page_token=token, category="종이"))


def test_a_question_is_answered_in_its_language_with_a_source(recycle_info):
    public, _, _, _ = recycle_info
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
    public, _, _, _ = recycle_info
    with pytest.raises(NotFound, match=words) as caught:
        public.Ask(recycle_info_pb2.AskRequest(question=question))
    assert caught.value.reason == "NO_RULE_FOUND"


def resolve(internal, **fields) -> internal_pb2.ResolvedRule:
    fields.setdefault("language_code", "ko")
    return internal.ResolveRule(internal_pb2.ResolveRuleRequest(**fields)).rule


def test_every_known_material_leads_to_a_rule(recycle_info):
    _, internal, _, _ = recycle_info
    for name in corpus.DEFAULTS:
        rule = resolve(internal, material=f"MATERIAL_{name}")
        assert (rule.item_key, rule.from_question) == (corpus.DEFAULTS[name], False)
        assert rule.steps
        assert rule.source_url


def test_a_situation_in_the_question_changes_the_rule(recycle_info):
    _, internal, _, _ = recycle_info
    clean = resolve(internal, item_key="pizza_box")
    dirty = resolve(internal, item_key="pizza_box", question="기름이 잔뜩 묻었어요")
    assert (clean.category_major, dirty.category_major) == ("재활용폐기물", "일반종량제폐기물")
    assert dirty.item_key == "pizza_box"


def test_the_words_decide_what_the_photo_left_open(recycle_info):
    _, internal, _, _ = recycle_info
    rule = resolve(internal, material="MATERIAL_UNKNOWN", unsure=True, question="우유팩이에요")
    assert (rule.item_key, rule.from_question) == ("milk_carton", True)
    with pytest.raises(NotFound) as caught:
        resolve(internal, material="MATERIAL_UNKNOWN", unsure=True)
    assert caught.value.reason == "NO_RULE_FOUND"


def test_syncing_again_changes_nothing_and_forgets_what_left_the_corpus(database):
    db, items = database("recycle_info"), corpus.load()
    Rules(db, Embedder())
    kept = [(item_id(key), rule_id(key), item) for key, item in list(items.items())[:3]]
    for _ in range(2):
        with db.writing() as tx:
            store.sync_items(tx, kept)
        with db.reading() as connection:
            assert {row[2]["key"] for row in store.list_all(connection)} == {item["key"] for _, _, item in kept}
            assert connection.execute(sa.text("SELECT count(*) FROM recycling_rules")).scalar() == 3


def ask(public, question: str, user=None, **fields):
    metadata = as_user(user) if user else ()
    return public.Ask(recycle_info_pb2.AskRequest(question=question, **fields), metadata=metadata)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("우유팩", "milk_carton"),
        ("우유ㅍ", "milk_carton"),
        ("우유 팩", "milk_carton"),
        ("웅", "milk_carton"),
        ("MILK c", "milk_carton"),
        ("carton", "milk_carton"),
        ("부탄", "butane_can"),
        ("부탄까", "butane_can"),
        ("ㅇㅇㅍ", "milk_carton"),
    ],
)
def test_what_is_being_typed_is_completed(recycle_info, typed, key):
    public, _, _, _ = recycle_info
    found = public.SuggestItems(recycle_info_pb2.SuggestItemsRequest(query=typed, page_size=20)).suggestions
    assert str(item_id(key)) in {each.item_id for each in found}
    assert len({each.item_id for each in found}) == len(found) <= 20


def test_suggestions_are_few_and_an_own_name_comes_first(recycle_info):
    public, _, _, _ = recycle_info
    few = public.SuggestItems(recycle_info_pb2.SuggestItemsRequest(query="유리병")).suggestions
    assert few[0].item_id == str(item_id("glass_bottle"))
    assert (few[0].name, few[0].item_name, few[0].category_middle) == ("유리병", "유리병", "유리병")
    assert len(public.SuggestItems(recycle_info_pb2.SuggestItemsRequest(query="유")).suggestions) == 10
    assert not public.SuggestItems(recycle_info_pb2.SuggestItemsRequest(query="쿏쿏")).suggestions
    for query in ("", "유" * 101):
        with pytest.raises(InvalidArgument) as refused:
            public.SuggestItems(recycle_info_pb2.SuggestItemsRequest(query=query))
        assert [field for field, _ in refused.value.violations] == ["query"]


def test_the_categories_are_the_official_tree_and_count_every_item_once(recycle_info):
    public, _, _, _ = recycle_info
    majors = public.ListCategories(recycle_info_pb2.ListCategoriesRequest()).categories
    assert majors[0].name == corpus.RECYCLABLE
    assert [middle.name for middle in majors[0].categories] == list(corpus.MIDDLES)
    assert sum(middle.item_count for middle in majors[0].categories) == majors[0].item_count
    assert sum(major.item_count for major in majors) == len(corpus.load())
    assert {each.name: each.name_en for each in [*majors, *majors[0].categories]} == corpus.ENGLISH
    assert all(len(listed(public, category=each.name)) == each.item_count for each in majors)


def test_lists_suggestions_and_counts_are_those_of_the_region(recycle_info):
    public, _, _, _ = recycle_info

    def counts(**where) -> dict[str, int]:
        majors = public.ListCategories(recycle_info_pb2.ListCategoriesRequest(**where)).categories
        return {each.name: each.item_count for major in majors for each in (major, *major.categories)}

    gangnam, country = {"region_code": "11680"}, corpus.load()["rubber_gloves"]["category_middle"]
    # Rubber gloves are plastic film there.
    for category, more in (("비닐류", 1), (country, -1)):
        assert (
            counts(**gangnam)[category]
            == counts()[category] + more
            == len(listed(public, category=category, **gangnam))
        )
        assert ("rubber_gloves" in listed(public, category=category, **gangnam)) == (more == 1)
        assert ("rubber_gloves" in listed(public, category=category, query="고무장갑", **gangnam)) == (more == 1)
    assert len(listed(public, **gangnam)) == len(corpus.load())
    asked = recycle_info_pb2.ListItemsRequest(query="고무장갑", page_size=1, **gangnam)
    [item] = public.ListItems(asked).items
    assert (item.region_name, item.source_url) == ("서울특별시 강남구", "https://clean.gangnam.go.kr/")
    suggest = recycle_info_pb2.SuggestItemsRequest(query="고무장갑", **gangnam)
    assert public.SuggestItems(suggest).suggestions[0].category_middle == "비닐류"
    # Elsewhere all is as in the country.
    assert counts(region_code="99999") == counts()
    for call, request in (
        (public.ListItems, recycle_info_pb2.ListItemsRequest),
        (public.ListCategories, recycle_info_pb2.ListCategoriesRequest),
        (public.SuggestItems, recycle_info_pb2.SuggestItemsRequest),
    ):
        with pytest.raises(InvalidArgument) as refused:
            call(request(region_code="강남", **({"query": "a"} if call == public.SuggestItems else {})))
        assert [field for field, _ in refused.value.violations] == ["region_code"]


def test_a_page_belongs_to_its_region_and_one_without_to_tokens_of_older_servers(recycle_info):
    public, _, _, _ = recycle_info
    token = public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=1)).next_page_token
    with pytest.raises(InvalidArgument) as refused:
        public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=1, page_token=token, region_code="11680"))
    assert [field for field, _ in refused.value.violations] == ["page_token"]
    item = public.ListItems(recycle_info_pb2.ListItemsRequest(page_size=1)).items[0]
    assert token == pages.token([item.name_ko, item.item_id], "", "")


def test_a_photo_is_told_the_rule_of_its_region(recycle_info):
    _, internal, _, _ = recycle_info

    def resolve(region_code: str, **seen):
        request = internal_pb2.ResolveRuleRequest(language_code="ko", region_code=region_code, **seen)
        return internal.ResolveRule(request).rule

    gangnam, country = (resolve(code, item_key="rubber_gloves") for code in ("11680", "99999"))
    assert (gangnam.region_name, gangnam.category_middle) == ("서울특별시 강남구", "비닐류")
    assert (gangnam.rule_id, gangnam.item_id) == (country.rule_id, country.item_id)
    assert (country.region_name, country.regional) == ("", True)
    assert country == resolve("", item_key="rubber_gloves")
    # Also what only the words tell, and what a situation moves to another rule.
    assert resolve("11680", question="고무장갑", unsure=True).source_url == "https://clean.gangnam.go.kr/"
    moved = resolve("41285", item_key="glass_bottle", question="깨졌어요")
    assert (moved.region_name, moved.item_key) == ("경기도 고양시 일산동구", "glass_bottle")
    with pytest.raises(InvalidArgument) as refused:
        resolve("강남", item_key="rubber_gloves")
    assert [field for field, _ in refused.value.violations] == ["region_code"]


def test_where_a_region_does_it_otherwise_its_rule_and_its_source_are_given(recycle_info):
    public, _, _, _ = recycle_info
    gloves = {"item_id": str(item_id("rubber_gloves"))}
    country = public.GetItem(recycle_info_pb2.GetItemRequest(**gloves)).item
    gangnam = public.GetItem(recycle_info_pb2.GetItemRequest(**gloves, region_code="11680")).item
    assert (gangnam.category_middle, gangnam.source_url) == ("비닐류", "https://clean.gangnam.go.kr/")
    assert gangnam.region_name
    assert not country.region_name
    assert country.category_middle != gangnam.category_middle
    assert country.regional
    assert not gangnam.regional
    # A district of a city that differs, and one of a city that does not.
    assert ask(public, "수박 껍질은 어떻게 버려요?", region_code="41111").answer.region_name
    assert not ask(public, "수박 껍질은 어떻게 버려요?", region_code="11680").answer.region_name
    elsewhere = public.GetItem(recycle_info_pb2.GetItemRequest(**gloves, region_code="99999")).item
    assert elsewhere == country
    suwon = {"item_id": str(item_id("food_waste")), "region_code": "41111"}
    assert public.GetItem(recycle_info_pb2.GetItemRequest(**suwon)).item.region_name == "경기도 수원시"
    english = ask(public, "how do I throw away rubber gloves?", region_code="11680").answer
    assert "This is the rule of 서울특별시 강남구." in english.text
    answer = ask(public, "고무장갑은 어떻게 버려요?", region_code="11680").answer
    assert "서울특별시 강남구 기준이에요." in answer.text
    assert (answer.source_url, answer.region_name) == (gangnam.source_url, gangnam.region_name)
    assert not ask(public, "우유팩은 어떻게 버려요?", region_code="11680").answer.region_name
    for region_code in ("1", "116800", "강남"):
        with pytest.raises(InvalidArgument) as refused:
            ask(public, "고무장갑", region_code=region_code)
        assert [field for field, _ in refused.value.violations] == ["region_code"]


def test_what_somebody_asked_is_theirs_to_read_page_by_page(recycle_info):
    public, _, _, queries = recycle_info
    user, other = uuid4(), uuid4()
    for question in ("우유팩은 어떻게 버려요?", "How do I throw away a glass bottle?"):
        ask(public, question, user)
    with pytest.raises(NotFound):
        ask(public, "오늘 날씨 어때?", user)
    ask(public, "우유팩")  # A sibling, which speaks for no user.
    assert not queries.write()
    seen, token = [], ""
    while not seen or token:
        request = recycle_info_pb2.ListQueriesRequest(page_size=2, page_token=token)
        page = public.ListQueries(request, metadata=as_user(user))
        seen, token = [*seen, *page.queries], page.next_page_token
    assert [(each.language_code, each.item_id) for each in seen] == [
        ("ko", ""),
        ("en", str(item_id("glass_bottle"))),
        ("ko", str(item_id("milk_carton"))),
    ]
    assert seen[2].question == "우유팩은 어떻게 버려요?"
    assert seen[2].confidence > 0.5
    assert not public.ListQueries(recycle_info_pb2.ListQueriesRequest(), metadata=as_user(other)).queries
    with pytest.raises(Unauthenticated):
        public.ListQueries(recycle_info_pb2.ListQueriesRequest())
    first = public.ListQueries(recycle_info_pb2.ListQueriesRequest(page_size=2), metadata=as_user(user))
    request = recycle_info_pb2.ListQueriesRequest(page_size=2, page_token=first.next_page_token)
    with pytest.raises(InvalidArgument):
        public.ListQueries(request, metadata=as_user(other))


def test_a_question_waits_for_a_database_that_is_away(recycle_info):
    public, _, db, queries = recycle_info
    user = uuid4()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        queries._database = Database(f"postgresql://nobody@127.0.0.1:{nobody.getsockname()[1]}/nowhere")
        assert ask(public, "우유팩은 어떻게 버려요?", user).answer.text
        with pytest.raises(Unavailable):
            queries.write()
        queries._database.close()
    queries._database = db
    assert not queries.write()
    assert len(public.ListQueries(recycle_info_pb2.ListQueriesRequest(), metadata=as_user(user)).queries) == 1


def test_who_is_erased_has_asked_nothing_and_nothing_comes_late(recycle_info):
    public, internal, db, queries = recycle_info
    user = uuid4()
    ask(public, "우유팩은 어떻게 버려요?", user)
    queries.write()
    ask(public, "유리병은 어떻게 버려요?", user)
    erase = internal_pb2.EraseUserRequest(user_id=str(user))
    assert internal.EraseUser(erase).removed_count == 1
    queries.write()
    assert internal.EraseUser(erase).removed_count == 1
    with db.reading() as connection:
        for table in ("user_queries", "tombstones"):
            rows = connection.execute(sa.text(f"SELECT CAST(t AS text) FROM {table} t")).scalars()
            assert not [row for row in rows if str(user) in row]


def test_only_the_newest_of_one_user_are_kept_however_many_write_at_once(recycle_info):
    public, _, db, _ = recycle_info
    user, other, now = uuid4(), uuid4(), datetime.now(UTC)
    hours = iter(range(100))
    writers = [Queries(db, lambda: now - timedelta(hours=next(hours)), 365, 3, wake=lambda: None) for _ in range(4)]
    for number in range(20):
        writers[number % 4].keep(user, f"{number} hours ago", {"language_code": "en"})
    writers[0].keep(other, "one", {"language_code": "en"})
    ready = iter(writers)
    assert not together(4, lambda: next(ready).write())
    left = {
        who: [
            each.question
            for each in public.ListQueries(recycle_info_pb2.ListQueriesRequest(), metadata=as_user(who)).queries
        ]
        for who in (user, other)
    }
    assert left == {user: ["0 hours ago", "1 hours ago", "2 hours ago"], other: ["one"]}


def test_what_was_asked_long_ago_is_forgotten(recycle_info):
    public, _, db, queries = recycle_info
    user, now = uuid4(), datetime.now(UTC)
    for days in (364, 366):
        old = Queries(db, lambda days=days: now - timedelta(days=days), 365, 100, wake=lambda: None)
        old.keep(user, f"{days} days ago", {"language_code": "en"})
        old.close()
    assert not queries.forget()
    left = public.ListQueries(recycle_info_pb2.ListQueriesRequest(), metadata=as_user(user)).queries
    assert [each.question for each in left] == ["364 days ago"]
