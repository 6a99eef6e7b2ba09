"""The import of rules, as an operator runs it, on real PostgreSQL."""

import json
import shutil

import pytest

from services.recycle_info import corpus, import_rules, regions, store
from services.recycle_info.catalogue import item_id, rule_id


@pytest.fixture
def run(database, postgres, database_name, monkeypatch, capsys):
    """(the command, which returns its exit status and what it printed, Database)."""
    db = database("recycle_info")
    with db.writing() as tx:
        store.sync_items(tx, [(item_id(key), rule_id(key), item) for key, item in corpus.load().items()])
    monkeypatch.setenv("API_RECYCLE_DB_URL", postgres.url(database_name, "recycle_info"))

    def call(*arguments) -> tuple[int, str]:
        return import_rules.main([str(each) for each in arguments]), capsys.readouterr().out

    return call, db


@pytest.fixture
def folder(tmp_path):
    """The shipped rules, with the first item of the first shelf to be changed."""
    for name in ("corpus", "ways.json", "regions.json"):
        source = corpus.SHIPPED / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def edit(folder, change) -> str:
    """Changes an item; its key."""
    path = min((folder / "corpus").iterdir())
    shelf = json.loads(path.read_text())
    change(shelf["items"][0])
    path.write_text(json.dumps(shelf, ensure_ascii=False))
    return shelf["items"][0]["key"]


def stored(db) -> tuple[dict, list | None]:
    with db.reading() as connection:
        return {item["key"]: item for _, _, item in store.list_all(connection)}, store.find_import(connection)


def test_sound_rules_replace_the_shipped_ones_until_these_are_asked_for_again(run, folder):
    call, db = run
    key = edit(folder, lambda item: item.update(name_en="Renamed thing"))
    status, said = call(folder, "--dry-run")
    assert (status, stored(db)) == (0, (corpus.load(), None))
    assert said == f"added 0\nremoved 0\nchanged 1: {key}\nnothing was changed\n"
    assert call(folder)[0] == 0
    items, overrides = stored(db)
    assert (items[key]["name_en"], overrides) == ("Renamed thing", regions.load())
    assert call(folder)[1].startswith("added 0\nremoved 0\nchanged 0\n")
    assert call("--shipped")[0] == 0
    assert stored(db) == (corpus.load(), None)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda item: item.update(source_url="nowhere"), "has no source"),
        (lambda item: item.pop("name_en"), "lacks name_en"),
        (lambda item: item.update(aliases_ko=[1]), "aliases_ko"),
        (lambda item: item.update(colour="red"), "unknown colour"),
        (lambda item: item.update(way="astray"), "astray"),
    ],
)
def test_one_problem_keeps_everything_out_and_is_named(run, folder, change, names):
    call, db = run
    key = edit(folder, change)
    status, said = call(folder)
    assert status == 1
    assert key in said
    assert names in said
    assert stored(db) == (corpus.load(), None)


@pytest.mark.parametrize("text", ["{", "[]", '{"items": 7}', '{"items": ["x"]}'])
def test_a_file_of_another_shape_is_named(run, folder, text):
    call, db = run
    (folder / "corpus" / "zz.json").write_text(text)
    status, said = call(folder)
    assert (status, said.startswith("zz.json: ")) == (1, True)
    assert stored(db) == (corpus.load(), None)


def test_a_folder_that_is_not_there_is_said(run, tmp_path):
    call, _ = run
    status, said = call(tmp_path / "nowhere")
    assert status == 1
    assert "nowhere" in said
