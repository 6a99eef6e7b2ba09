"""An edge for all tests of a session, and edges for those that kill."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stack import mesh
from stack.api import data_folder
from stack.home import CHECKOUT
from tests.conftest import eventually
from tests.gateway.edge import Edge


@pytest.fixture(scope="session")
def descriptor_set() -> Path:
    with data_folder(None) as home:
        subprocess.run(mesh.descriptors(home).argv, cwd=CHECKOUT, check=True, timeout=60)
        yield mesh.descriptor_set(home)


@pytest.fixture
def make_edge(tmp_path_factory, descriptor_set):
    """Makes an Edge that the test starts and kills as it likes."""
    made = []

    def make() -> Edge:
        made.append(Edge(tmp_path_factory.mktemp("edge"), descriptor_set))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def edge(tmp_path_factory, descriptor_set) -> Edge:
    """All of it running and healthy; tests leave it as they found it."""
    running = Edge(tmp_path_factory.mktemp("edge"), descriptor_set)
    try:
        running.start("auth", "backends", "gateway", "envoy")
        eventually(running.healthy)
        yield running
    finally:
        running.close()
