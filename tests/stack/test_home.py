"""The data folder and its ports."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import api, mesh
from stack.home import BLOCK, Home, HomeError, Ports, claim_ports, default_path, is_free

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="without root PostgreSQL runs as the caller, who reaches all")


@pytest.fixture
def home() -> Iterator[Home]:
    with api.data_folder(None) as folder:
        yield folder


@only_root
def test_a_checkout_that_postgres_cannot_reach_gets_a_folder_elsewhere(tmp_path: Path):
    (tmp_path / "private").mkdir(mode=0o700)
    checkout = tmp_path / "private/checkout"
    checkout.mkdir()
    path = default_path(checkout)
    try:
        assert path.parent == Path("/var/tmp")
        assert default_path(checkout) == path
        assert Home(path).path == path
        # The README's commands name these in the checkout.
        assert (checkout / ".eco2/secrets").samefile(path / "secrets")
        assert (checkout / ".eco2/log").samefile(path / "log")
        path.chmod(0o777)
        with pytest.raises(HomeError, match="only you can write"):
            default_path(checkout)
    finally:
        for left in sorted(path.rglob("*"), reverse=True):
            left.rmdir()
        path.rmdir()


def test_a_checkout_whose_path_rabbitmq_cannot_read_gets_a_folder_elsewhere(home: Home):
    checkout = home.path / "분리배출 앱"
    checkout.mkdir()
    path = default_path(checkout)
    try:
        assert path.parent == Path("/var/tmp")
    finally:
        path.rmdir()
    with pytest.raises(HomeError, match="set ECO2_HOME"):
        Home(checkout)


def test_a_checkout_that_was_moved_to_where_it_can_be_used_forgets_the_folder_elsewhere(home: Home):
    for name in ("secrets", "log"):
        (home.path / "checkout/.eco2").mkdir(parents=True, exist_ok=True)
        (home.path / "checkout/.eco2" / name).symlink_to(home.path / "gone" / name)
    own = Home(default_path(home.path / "checkout")).path
    assert own == home.path / "checkout/.eco2"
    assert (own / "secrets").is_dir()
    assert not (own / "secrets").is_symlink()


@only_root
def test_a_chosen_folder_that_postgres_cannot_reach_is_refused(tmp_path: Path):
    (tmp_path / "private").mkdir(mode=0o700)
    with pytest.raises(HomeError, match="cannot reach"):
        Home(tmp_path / "private/home")


def test_secrets_are_made_once_and_only_the_owner_reads_them(home: Home):
    assert home.secret("one") == home.secret("one") != home.secret("two")
    for path in (home.path / "secrets", home.path / "secrets/one"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_a_block_is_claimed_again_unless_something_took_a_port_of_it(home: Home):
    first = claim_ports(home, anywhere=True)
    first.release()
    again = claim_ports(home, anywhere=True)
    again.release()
    assert again["guard"] == first["guard"]
    with socket.create_server(("127.0.0.1", first["redis"])):
        other = claim_ports(home, anywhere=True)
    other.release()
    assert abs(other["guard"] - first["guard"]) >= BLOCK


def test_a_busy_edge_port_is_named(home: Home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HomeError, match=f"port {port} is in use"):
            claim_ports(home, edge=port)
    assert is_free(port)


def test_no_two_names_share_a_port(home: Home):
    ports = claim_ports(home, anywhere=True)
    ports.release()
    assert len(Ports.NAMES) <= BLOCK
    assert len({ports[name] for name in Ports.NAMES}) == len(Ports.NAMES)


def test_the_key_of_the_models_reaches_who_uses_it_and_as_a_file(home: Home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_MODEL", "m1")
    ports = claim_ports(home, anywhere=True)
    ports.release()
    every = {part.name: part.env for part in mesh.everything(home, ports)}
    for env in (every["worker-ai"], every["chat_llm"]):
        assert (env["OPENAI_MODEL"], Path(env["OPENAI_API_KEY_FILE"]).read_text()) == ("m1", "sk-1")
    assert not any("sk-1" in value for part in every.values() for value in part.values())
    assert [name for name, part in every.items() if any("OPENAI" in key for key in part)] == ["chat_llm", "worker-ai"]
