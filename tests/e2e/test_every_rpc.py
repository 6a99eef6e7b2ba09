"""Every rpc of every public service, over REST and over native gRPC: it works, it refuses whoever may not call it, it
names what is wrong with bad input, and it shows nobody what is somebody else's."""

from __future__ import annotations

import re
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2

from stack import mesh as parts
from tests.e2e.cases.case import APART, Case, Outcome, Person, Rpc, all_cases, public_rpcs, with_field

RPCS, CASES = public_rpcs(), all_cases()
WAYS = {"REST": Rpc.over_rest, "gRPC": Rpc.over_grpc}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_no_rpc_is_without_a_case():
    missing = sorted(RPCS.keys() - CASES.keys())
    assert not missing, f"give each a case in tests/e2e/cases/<domain>.py: {', '.join(missing)}"
    gone = sorted(CASES.keys() - RPCS.keys())
    assert not gone, f"these cases in tests/e2e/cases are of no public rpc: {', '.join(gone)}"


def test_they_are_all_that_the_running_edge_has(mesh):
    files = descriptor_pb2.FileDescriptorSet.FromString(parts.descriptor_set(mesh.home).read_bytes()).file
    served = {
        f"{file.package}.{service.name}.{method.name}"
        for file in files
        if file.package.startswith("eco2.")
        for service in file.service
        if not service.name.endswith("InternalService")
        for method in service.method
    }
    assert served == RPCS.keys()


@pytest.mark.parametrize("name", sorted(RPCS))
def test_a_case_leaves_nothing_out(name):
    rpc, case = RPCS[name], case_of(name)
    assert case.bad or not rpc.method.input_type.fields, f"{name}: say which of its fields can be bad"
    assert rpc.is_open or case.refused is None, f"{name}: takes a token, so nothing else can be refused"


def case_of(name: str) -> Case:
    assert name in CASES, f"give {name} a case in tests/e2e/cases/{name.split('.')[1]}.py"
    return CASES[name]


@pytest.fixture(params=[(name, way) for name in sorted(RPCS) for way in WAYS], ids=lambda it: f"{it[0][5:]}-{it[1]}")
def called(request, mesh):
    """(rpc, case, call): call(request, token) does it one of the two ways."""
    name, way = request.param
    rpc = RPCS[name]
    return rpc, case_of(name), lambda asked, token: WAYS[way](rpc, mesh, asked, token)


@pytest.fixture(scope="package")
def person(mesh, outside):
    """Makes users."""
    made = []

    def one() -> Person:
        made.append(Person(mesh, outside))
        return made[-1]

    yield one
    for each in made:
        each.http.close()


@pytest.fixture(scope="package")
def mina(person) -> Person:
    return person()


@pytest.fixture(scope="package")
def stranger(person) -> Person:
    return person()


@pytest.fixture(scope="package")
def bad_tokens(mesh, mina) -> dict[str, str | None]:
    """Of mina: none, one that has expired, one that somebody else has signed."""
    header = {"kid": jwt.get_unverified_header(mina.token)["kid"]}
    claims = jwt.decode(mina.token, options={"verify_signature": False})
    past = claims | {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}
    ours, theirs = parts.jwt_key_file(mesh.home).read_text(), ec.generate_private_key(ec.SECP256R1())
    return {
        "none": None,
        "expired": jwt.encode(past, ours, "ES256", headers=header),
        "foreign": jwt.encode(claims, theirs, "ES256", headers=header),
    }


def test_it_succeeds(called, person, mina):
    rpc, case, call = called
    me = person() if case.alone else mina
    outcome = call(case.good(me), None if rpc.is_open else me.token)
    assert outcome.code == "OK", outcome
    assert outcome.answers


def test_it_refuses_who_may_not_call_it(called, person, mina, bad_tokens):
    rpc, case, call = called
    good = case.good(person() if case.alone else mina)
    if not rpc.is_open:
        said = {which: call(good, token).code for which, token in bad_tokens.items()}
        assert said == dict.fromkeys(bad_tokens, "UNAUTHENTICATED")
    elif case.refused:
        field, value, code = case.refused
        assert call(with_field(good, field, value), None).code == code
    else:
        # A token that is no good any more keeps nobody from what everybody may call.
        assert call(good, bad_tokens["expired"]).code == "OK"


def test_bad_input_is_refused_and_the_field_named(called, person, mina):
    rpc, case, call = called
    if case.bad is None:
        # There is nothing to get wrong.
        return
    me = person() if case.alone else mina
    outcome = call(with_field(case.good(me), *case.bad), None if rpc.is_open else me.token)
    assert (outcome.code, outcome.fields) == ("INVALID_ARGUMENT", {case.bad[0]}), outcome


def test_nobody_reaches_what_is_somebody_elses(called, person, mina, stranger):
    rpc, case, call = called
    if rpc.is_open:
        # Whose it is, the request says: that of a wrong credential is in the test of refusals.
        return
    me, other = (person(), person()) if case.alone else (mina, stranger)
    good = case.good(me)
    theirs = call(good, other.token)
    assert theirs.code == ("OK" if case.others == APART else case.others), theirs
    # It was there all the while.
    mine = call(good, me.token)
    assert mine.code == "OK", mine
    if case.others == APART:
        assert theirs.answers != mine.answers
        assert not ids(theirs) & ids(mine)


def ids(outcome: Outcome) -> set[str]:
    return set(UUID.findall(str(outcome.answers)))
