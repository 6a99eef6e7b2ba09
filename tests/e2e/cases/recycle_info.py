"""Cases of the catalogue, which is the same for everybody."""

from tests.conftest import eventually
from tests.e2e.cases.case import Case, Person


def item_id(person: Person) -> str:
    return person.http.get("/api/v1/recycle-info/items", params={"page_size": 1}).json()["items"][0]["item_id"]


def asked(person: Person) -> dict:
    person.http.post("/api/v1/recycle-info:ask", json={"question": "우유팩은 어떻게 버려요?"})
    eventually(lambda: person.http.get("/api/v1/recycle-info/queries").json()["queries"])
    return {}


CASES = {
    "RecycleInfoService.ListItems": Case(lambda _: {"query": "우유팩"}, ("page_size", -1), others="OK"),
    "RecycleInfoService.GetItem": Case(lambda me: {"item_id": item_id(me)}, ("item_id", "7"), others="OK"),
    "RecycleInfoService.SuggestItems": Case(lambda _: {"query": "우유"}, ("query", ""), others="OK"),
    "RecycleInfoService.ListCategories": Case(lambda _: {}, ("region_code", "Gangnam"), others="OK"),
    # Both ask about one item, whose id is then in both lists; the domain's own tests show that the lists are apart.
    "RecycleInfoService.ListQueries": Case(asked, ("page_size", -1), others="OK"),
    "RecycleInfoService.Ask": Case(
        lambda _: {"question": "깨진 유리컵은 어떻게 버려요?"}, ("question", ""), others="OK"
    ),
}
