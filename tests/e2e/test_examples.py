"""The examples of the documents, executed as they stand: each fenced block that talks to the running mesh, and each
request body that /docs shows."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from stack.home import CHECKOUT
from tests.conftest import eventually

PAGES = ["README.md", "CONTRIBUTING.md", "ecoeco/README.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What talks to a mesh.
TALKS = re.compile(r"127\.0\.0\.1|curl|_TARGET=|import Client")
ENDED = "the example has ended with"


def blocks(page: str, language: str) -> list[str]:
    found = FENCED.findall((CHECKOUT / page).read_text())
    return [text for kind, text in found if kind == language and TALKS.search(text)]


@pytest.fixture
def adapt(mesh, app):
    """Puts into a text of a document what is different here: addresses, ids, and the name of the person."""
    analysis_id = app.start(app.upload(b"no photo" * 100))
    dead, only = "/api/v1/tasks/dead-letters", {"task_id": f"{analysis_id}:user_input"}
    eventually(lambda: app.http.get(dead, params=only).json()["dead_letters"])
    [letter] = app.http.get(dead, params=only).json()["dead_letters"]
    here = {
        "127.0.0.1:8080": mesh.edge_target,
        "127.0.0.1:PORT": mesh.target("tasks"),
        "DEAD_LETTER_ID": letter["dead_letter_id"],
        ".venv/bin/": f"{Path(sys.executable).parent}/",
        "curl -s": "curl --fail-with-body --show-error --max-time 60 -s",
        "mina": f"mina-{secrets.token_hex(6)}",
    }

    def change(text: str) -> str:
        for theirs, ours in here.items():
            text = text.replace(theirs, ours)
        return text

    return change


def test_there_are_examples():
    assert sum(len(blocks(page, language)) for page in PAGES for language in ("", "python")) >= 4
    for page in PAGES:
        assert {kind for kind, text in FENCED.findall((CHECKOUT / page).read_text())} <= {"", "python"}, page


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "")])
def test_the_commands_do_what_their_page_says(page, adapt):
    """In one shell, as a reader types them. One that ends with a comment of one word fails, and says that word."""
    commands = re.sub(r"\\\n\s*", "", adapt("\n".join(blocks(page, "")))).splitlines()
    commands = [command for command in commands if command.strip()]
    script = "".join(f"{command}\nprintf '\\n{ENDED} %d\\n' $?\n" for command in commands)
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    outcomes = re.findall(rf"(.*?)\n{ENDED} (\d+)\n", ran.stdout, re.DOTALL)
    assert len(outcomes) == len(commands), ran.stdout
    for command, (said, code) in zip(commands, outcomes, strict=True):
        failure = re.search(r"\s# (\w+)$", command)
        assert (code != "0") == bool(failure), f"{command}\n{said}"
        assert not failure or failure[1] in said, f"{command}\n{said}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_code_runs(page, adapt, mesh):
    body = {"username": adapt("mina"), "email": adapt("mina@example.com"), "password": "correct horse"}
    assert httpx.post(f"{mesh.edge_url}/api/v1/auth/register", json=body).status_code == 200
    for code in blocks(page, "python"):
        ran = subprocess.run(
            [sys.executable, "-c", adapt(code)], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.strip()


def test_the_edge_takes_every_body_that_the_documentation_shows(app):
    """Its ids and tokens are nobody's; what is wrong with them is not their form."""
    shown = 0
    for path, operations in app.http.get("/openapi.json").json()["paths"].items():
        for verb, operation in operations.items():
            example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            if example is None:
                continue
            shown += 1
            address = re.sub(r"\{\w+\}", "0193e0a0-0000-7000-8000-000000000000", path)
            with app.http.stream(verb, address, json=example) as answer:
                answer.read()
            assert answer.status_code < 500, (path, answer.text)
            assert not re.search("INVALID_FIELD|MALFORMED_REQUEST|PATH_NOT_FOUND", answer.text), (path, answer.text)
    assert shown >= 10
