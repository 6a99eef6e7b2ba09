"""Cases of places, centres and regions."""

from tests.e2e.cases.case import APART, Case, Person

SEOUL = {"latitude": 37.5665, "longitude": 126.978}


def place_id(person: Person) -> str:
    made = person.http.post("/api/v1/locations/places", json={"name": "집", **SEOUL})
    assert made.status_code == 200, made.text
    return made.json()["place"]["place_id"]


def center_id(person: Person) -> str:
    return person.http.get("/api/v1/locations/centers:nearest", params=SEOUL).json()["centers"][0]["center_id"]


def list_places(person: Person) -> dict:
    place_id(person)
    return {"page_size": 5}


CASES = {
    "LocationsService.ListPlaces": Case(list_places, ("page_size", -1), others=APART),
    "LocationsService.CreatePlace": Case(lambda _: {"name": "집", **SEOUL}, ("latitude", 91), others="OK"),
    "LocationsService.GetPlace": Case(lambda me: {"place_id": place_id(me)}, ("place_id", "7")),
    "LocationsService.UpdatePlace": Case(
        lambda me: {"place_id": place_id(me), "place": {"name": "회사"}, "update_mask": "name"},
        ("place.latitude", 91),
    ),
    "LocationsService.DeletePlace": Case(lambda me: {"place_id": place_id(me)}, ("place_id", "7")),
    "LocationsService.ListNearestCenters": Case(lambda _: SEOUL, ("radius_m", -1), others="OK"),
    "LocationsService.GetCenter": Case(lambda me: {"center_id": center_id(me)}, ("center_id", "7"), others="OK"),
    "LocationsService.LocateRegion": Case(lambda _: SEOUL, ("longitude", 181), others="OK"),
    "LocationsService.GetRegionPolicy": Case(lambda _: {"region_code": "11440"}, ("region_code", "Mapo"), others="OK"),
}
