"""Rules come in by a command: checked, all or nothing, and in force in servers that run."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from eco2.recycle_info.v1 import recycle_info_pb2 as pb
from eco2.recycle_info.v1 import recycle_info_pb2_grpc

from services.kit.database import Database
from services.kit.errors import NotFound
from services.recycle_info import corpus, import_rules, store
from services.recycle_info.catalogue import item_id
from services.recycle_info.embedder import Embedder
from services.recycle_info.queries import Queries
from services.recycle_info.rpc import RecycleInfo
from services.recycle_info.rules import Rules
from stack.home import CHECKOUT

NEW = {
    "key": "test_gadget",
    "material": "PLASTIC",
    "way": "plastic",
    "name_ko": "뾰로롱기",
    "name_en": "Pyororong gadget",
    "aliases_ko": ["뾰롱뾰롱이"],
    "aliases_en": ["pyorong"],
    "description_ko": "시험에만 있는 물건입니다",
    "description_en": "A thing that only tests have",
    "source_url": "https://example.com/rule",
}
SHELF = {"category_major": "재활용폐기물", "category_middle": "플라스틱류", "items": [NEW]}


def changed(key: str, **fields) -> dict:
    """An item that ships, as an entry with other fields."""
    item = {name: value for name, value in corpus.load()[key].items() if name not in ("rule_id",)}
    return {**item, **fields}


@dataclasses.dataclass
class House:
    """A server that runs; it follows imports when `rules` is told to."""

    database: Database
    rules: Rules
    public: recycle_info_pb2_grpc.RecycleInfoServiceStub


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def house(database, serve, embedder) -> House:
    db = database("recycle_info")
    rules = Rules(db, embedder)
    servicer = RecycleInfo(db, rules, Queries(db, lambda: datetime.now(UTC), 365, 100, wake=lambda: None))
    channel = serve((recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, servicer))
    return House(db, rules, recycle_info_pb2_grpc.RecycleInfoServiceStub(channel))


def files_of(folder, shelves) -> list[str]:
    paths = [folder / f"shelf{at}.json" for at in range(len(shelves))]
    for path, shelf in zip(paths, shelves, strict=True):
        text = shelf if isinstance(shelf, str) else json.dumps(shelf, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
    return list(map(str, paths))


@pytest.fixture
def run(house, postgres, database_name, tmp_path, capsys, monkeypatch):
    """Runs the command on shelves; gives the exit code and what it says."""
    monkeypatch.setenv("API_RECYCLE_DB_URL", postgres.url(database_name, "recycle_info"))

    def call(*shelves, options=()) -> tuple[int, str]:
        code = import_rules.main([*files_of(tmp_path, shelves), *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def suggested(house, prefix: str) -> list[str]:
    return [each.item_id for each in house.public.SuggestItems(pb.SuggestItemsRequest(query=prefix)).suggestions]


def tables(house) -> list:
    with house.database.reading() as connection:
        return [
            connection.execute(sa.text(f"SELECT t::text FROM {table} t ORDER BY 1")).scalars().all()
            for table in ("items", "recycling_rules", "rule_imports")
        ]


def test_a_new_rule_is_in_force_in_a_running_server(house, run):
    with pytest.raises(NotFound):
        house.public.GetItem(pb.GetItemRequest(item_id=str(item_id("test_gadget"))))
    code, said = run(SHELF)
    assert code == 0, said
    assert "test_gadget" in said
    house.rules.refresh()
    item = house.public.GetItem(pb.GetItemRequest(item_id=str(item_id("test_gadget")))).item
    assert list(item.guide_ko.steps) == corpus.load_ways()["plastic"]["steps_ko"]
    assert suggested(house, "뾰로") == [str(item_id("test_gadget"))]
    for question in ("뾰롱뾰롱이 어떻게 버려요?", "where does a pyororong gadget go?"):
        answer = house.public.Ask(pb.AskRequest(question=question)).answer
        assert (answer.item_id, answer.source_url) == (str(item_id("test_gadget")), "https://example.com/rule")
    assert house.public.ListItems(pb.ListItemsRequest(query="뾰로롱기")).items[0].key == "test_gadget"


def test_a_rule_that_ships_is_replaced_and_comes_back_by_the_shipped_ones(house, run, embedder):
    shelf = {
        "category_major": "재활용폐기물",
        "category_middle": "유리병",
        "items": [changed("glass_bottle", bin_ko="초록 수거함", bin_en="green bin")],
    }
    assert run(shelf)[0] == 0
    house.rules.refresh()
    assert "초록 수거함" in house.public.Ask(pb.AskRequest(question="유리병 어떻게 버려요?")).answer.text
    # It outlives the process, although that brings what ships.
    again = Rules(house.database, embedder)
    assert again.current.items["glass_bottle"]["bin_ko"] == "초록 수거함"
    code, said = run(options=["--shipped"])
    assert (code, "glass_bottle" in said) == (0, True)
    house.rules.refresh()
    assert house.rules.current.items == corpus.load()


def test_the_same_again_changes_nothing(house, run):
    assert run(SHELF)[0] == 0
    before = tables(house)
    code, said = run(SHELF)
    assert (code, "nothing was changed" in said) == (0, True)
    assert tables(house) == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(house, run, monkeypatch):
    before = tables(house)
    shelf = {**SHELF, "category_middle": "유리병", "items": [changed("glass_bottle", bin_ko="초록 수거함")]}
    code, said = run(SHELF, shelf, options=["--dry-run"])
    assert (code, said) == (
        0,
        "added 1: test_gadget\nremoved 0\nchanged 1: glass_bottle\nnothing was changed\n",
    )
    assert tables(house) == before
    monkeypatch.delenv("API_RECYCLE_DB_URL")  # As it is for an operator who forgot it.
    assert "compared with the rules that ship" in run(SHELF, options=["--dry-run"])[1]
    code, said = run(SHELF)
    assert (code, tables(house)) == (1, before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"material": "STONE"}, "test_gadget: material: its material STONE is not in the list"),
        ({"source_url": "somewhere"}, "test_gadget: source_url: has no source"),
        ({"aliases_ko": ["우유팩"]}, "test_gadget: names and aliases: '우유팩' already means milk_carton"),
        ({"way": "moon"}, "test_gadget: way: moon does not exist"),
        ({"name_ko": None}, "test_gadget: name_ko: is not a text"),
        ({"colour": "red"}, "test_gadget: has unknown colour"),
        ({"rule_id": "rule:milk_carton"}, "test_gadget: has unknown rule_id"),
        ({"first_ko": "먼저", "first_en": ["First"]}, "test_gadget: first_ko: is not a list"),
        ({"first_ko": ["먼저"]}, "test_gadget: steps_ko, steps_en: differ in length"),
        ({"situations": [{"tag": "wet", "steps_ko": [], "steps_en": [], "move_to": "moon"}]}, "wet: moves to moon"),
        ({"key": "Test Gadget"}, "Test Gadget: key: is not snake_case"),
        ({"key": ""}, "item 2: key: is missing"),
        ({"description_en": "a\x00b"}, "test_gadget: description_en: has a character"),
    ],
)
def test_what_is_wrong_is_told_by_file_item_and_field_and_nothing_is_imported(house, run, change, told):
    before = tables(house)
    good = {**NEW, "key": "good_gadget", "name_ko": "착한 뾰로롱", "name_en": "Good pyoro", "aliases_ko": ["착뾰"]}
    good["aliases_en"] = ["goodpyo"]
    code, said = run({**SHELF, "items": [good, {**copy.deepcopy(NEW), **change}]})
    assert code == 1
    assert f"shelf0.json: {told}" in said or (told in said and "shelf0.json: test_gadget: situations" in said), said
    assert tables(house) == before


@pytest.mark.parametrize(
    ("shelf", "told"),
    [
        ("{", "cannot be read"),
        ("[]", "is no shelf"),
        ({**SHELF, "items": {}}, "is no shelf"),
        ({**SHELF, "items": ["cup"]}, "item 1: is not an object"),
        ({**SHELF, "colour": 1}, "has unknown colour"),
        ({**SHELF, "category_middle": "고철"}, "test_gadget: category_major, category_middle: its category is not"),
        ({"items": [NEW]}, "test_gadget: lacks category_major, category_middle"),
        ({**SHELF, "items": [NEW, NEW]}, "test_gadget: key: is also in"),
    ],
)
def test_a_file_that_is_no_shelf_is_refused(house, run, shelf, told):
    before = tables(house)
    code, said = run(shelf)
    assert (code, told in said) == (1, True), said
    assert tables(house) == before


@pytest.fixture
def folder(tmp_path):
    """The shipped rules, as a folder to be changed."""
    made = tmp_path / "rules"
    made.mkdir()
    for name in ("corpus", "ways.json", "regions.json"):
        source = corpus.SHIPPED / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, made / name)
    return made


def edit(folder, name: str, change) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def test_a_folder_is_all_rules_and_those_of_municipalities_too(house, run, folder):
    edit(folder, "regions.json", lambda overrides: overrides.__delitem__(slice(1, None)))
    edit(folder, "corpus/glass.json", lambda shelf: shelf["items"][0].update(name_en="Renamed thing"))
    key = json.loads((folder / "corpus/glass.json").read_text())["items"][0]["key"]
    assert run(options=[str(folder)])[0] == 0
    house.rules.refresh()
    assert house.rules.current.items[key]["name_en"] == "Renamed thing"
    assert house.rules.current.items_in("11680") != house.rules.current.items
    assert house.rules.current.items_in("11350") == house.rules.current.items
    # A rule that comes later goes on top of these.
    assert run(SHELF)[0] == 0
    house.rules.refresh()
    assert house.rules.current.items[key]["name_en"] == "Renamed thing"
    assert house.rules.current.items_in("11350") == house.rules.current.items
    assert run(options=["--shipped"])[0] == 0
    house.rules.refresh()
    assert house.rules.current.items == corpus.load()
    with house.database.reading() as connection:
        assert store.find_import(connection) is None
    assert (
        house.rules.current.items_in("11350")["butane_can"]["source_url"] != corpus.load()["butane_can"]["source_url"]
    )


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("regions.json", lambda overrides: overrides[0].update(items=["moon"]), "override 1: changes ['moon']"),
        ("regions.json", lambda overrides: overrides.append(7), "is not an object"),
        ("regions.json", lambda overrides: overrides[0]["set"].update(bin_ko=" "), "rubber_gloves: bin_ko: is empty"),
        ("ways.json", lambda ways: ways["paper"].update(steps_ko="one"), "ways.json: paper: steps_ko: is not a list"),
        ("corpus/glass.json", lambda shelf: shelf["items"].clear(), "DEFAULTS: no item glass_bottle"),
        (
            "corpus/glass.json",
            lambda shelf: shelf["items"][0].pop("name_en"),
            "glass.json: glass_bottle: lacks",
        ),
    ],
)
def test_one_problem_in_a_folder_keeps_all_of_it_out(house, run, folder, name, change, told):
    before = tables(house)
    edit(folder, name, change)
    code, said = run(options=[str(folder)])
    assert (code, told in said) == (1, True), said
    assert tables(house) == before


def test_a_folder_that_is_not_there_is_said(run, tmp_path):
    code, said = run(options=[str(tmp_path / "nowhere")])
    assert code == 1
    assert "nowhere: cannot be read" in said


def test_a_few_rules_that_change_nothing_are_no_import(house, run):
    shelf = {"category_major": "재활용폐기물", "category_middle": "유리병", "items": [changed("glass_bottle")]}
    del shelf["items"][0]["category_major"], shelf["items"][0]["category_middle"]
    code, said = run(shelf)
    assert (code, "nothing was changed" in said) == (0, True), said
    with house.database.reading() as connection:
        assert store.find_import(connection) is None


RENAMED = "Carton of the next release"
GREEN = {
    "category_major": "재활용폐기물",
    "category_middle": "유리병",
    "items": [changed("glass_bottle", bin_ko="초록 수거함", bin_en="green bin")],
}


START = """
import logging, os
from services.kit.database import Database
from services.recycle_info.embedder import Embedder
from services.recycle_info.rules import Rules
logging.basicConfig(level=logging.WARNING, format="%(message)s")
Rules(Database(os.environ["API_RECYCLE_DB_URL"]), Embedder())
"""


@dataclasses.dataclass
class Release:
    """Another one, in processes of its own: a copy of the code with other rules beside it."""

    folder: Path
    url: str

    def run(self, *shelves, options=()) -> tuple[int, str]:
        """As the fixture `run`."""
        return self._python("-m", "services.recycle_info.import_rules", *files_of(self.folder, shelves), *options)

    def start(self) -> str:
        """What its server warns of when it starts."""
        code, said = self._python("-c", START)
        assert code == 0, said
        return said

    def _python(self, *arguments: str) -> tuple[int, str]:
        # The folder that Python is started in comes before the checkout.
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | {"API_RECYCLE_DB_URL": self.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def next_release(house, postgres, database_name, tmp_path) -> Release:
    """With a new name for one item, and no rules of municipalities but the first."""
    made = tmp_path / "release"
    shutil.copytree(CHECKOUT / "services", made / "services", ignore=shutil.ignore_patterns("__pycache__"))
    rules = made / "services/recycle_info"
    edit(rules, "corpus/paper_pack.json", lambda shelf: named(shelf, "milk_carton").update(name_en=RENAMED))
    edit(rules, "regions.json", lambda overrides: overrides.__delitem__(slice(1, None)))
    return Release(made, postgres.url(database_name, "recycle_info"))


def named(shelf: dict, key: str) -> dict:
    return next(item for item in shelf["items"] if item["key"] == key)


def warnings(caplog) -> list[str]:
    return [each.message for each in caplog.records if each.levelname == "WARNING"]


def test_a_release_with_other_rules_says_that_imported_ones_hold(house, run, embedder, next_release, caplog):
    assert "those that ship are in force\nadded 0\nremoved 0\nchanged 0\n" in run(options=["--status"])[1]
    assert run(GREEN, options=["--operator", "mina"])[0] == 0
    code, said = run(options=["--status"])
    assert (code, "imported by mina at 20" in said, "have not changed since" in said) == (0, True, True)
    assert "changed 1: glass_bottle\n" in said
    Rules(house.database, embedder)
    assert not warnings(caplog)
    stale = "imported rules are in force, and those that ship have changed: see import_rules --status"
    assert next_release.start().splitlines() == [stale]
    said = next_release.run(options=["--status"])[1]
    assert "HAVE CHANGED" in said
    assert "changed 2: glass_bottle, milk_carton\nand others of municipalities\n" in said
    # One more rule over the imported ones does not make them newer.
    assert next_release.run(SHELF)[0] == 0
    assert "HAVE CHANGED" in next_release.run(options=["--status"])[1]


def test_after_a_release_the_own_rules_go_over_those_that_ship(house, run, next_release):
    assert run(GREEN)[0] == 0
    assert "changed 1: milk_carton\n" in next_release.run(GREEN, options=["--shipped", "--dry-run"])[1]
    code, said = next_release.run(GREEN, options=["--shipped"])
    assert code == 0, said
    assert next_release.start() == ""
    house.rules.refresh()
    current = house.rules.current
    assert current.items["milk_carton"]["name_en"] == RENAMED
    assert current.items["glass_bottle"]["bin_ko"] == "초록 수거함"
    assert current.items_in("11350") == current.items
    assert "have not changed" in next_release.run(options=["--status"])[1]
    assert "nothing was changed" in next_release.run(GREEN, options=["--shipped"])[1]


def test_what_an_older_release_imported_is_taken_for_older(house, run, embedder, caplog):
    assert run(GREEN)[0] == 0
    with house.database.writing() as tx:
        tx.execute(sa.text("UPDATE rule_imports SET shipped = ''"))
    Rules(house.database, embedder)
    assert len(warnings(caplog)) == 1
    # The same over what ships now settles it.
    assert "done" in run(GREEN, options=["--shipped"])[1]
    assert "have not changed" in run(options=["--status"])[1]


def test_rules_over_those_of_another_release_are_not_taken_for_new(house, next_release):
    # No server of that release has started yet.
    assert next_release.run(GREEN)[0] == 0
    assert "HAVE CHANGED" in next_release.run(options=["--status"])[1]
