"""What the document promises, the running mesh keeps: schemathesis asks every operation for right and wrong things."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
)

CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]
# These end the session that the test itself uses, or hold a call open.
LEFT_OUT = {"AuthService_Logout", "AccountService_RevokeOtherSessions", "WasteService_WatchAnalysis"}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_no_answer_is_a_5xx_or_outside_its_schema(campaign, app, mesh, mode):
    schema = schemathesis.openapi.from_dict(httpx.get(f"{mesh.edge_url}/openapi.json").json())
    headers = {"authorization": app.http.headers["authorization"]}
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        raw = operation.definition.raw
        nothing_to_get_wrong = mode.is_negative and not (raw["parameters"] or "requestBody" in raw)
        if raw["operationId"] in LEFT_OUT or nothing_to_get_wrong:
            continue

        @seed(campaign.seed)
        @settings(
            max_examples=campaign.count(quick=8, long=60),
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(
                base_url=mesh.edge_url,
                headers=headers,
                timeout=60,
                checks=CHECKS + [negative_data_rejection] * mode.is_negative,
            )

        given(case=operation.as_strategy(generation_mode=mode))(ask)()
    assert asked > 100
