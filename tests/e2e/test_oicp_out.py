"""The file of statuses in the words of OICP from outside, beside what operators push under the same path."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.serving import Serving

from ladestrom.outputs.oicp.edge import PATH


def test_the_file_is_beside_what_is_pushed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        pushed = server.post(
            {
                "ActionType": "update",
                "OperatorEvseStatus": {
                    "OperatorID": "NO*ALF",
                    "EvseStatusRecord": [{"EvseID": "NO*ALF*E1342", "EvseStatus": "Reserved"}],
                },
            },
            path="/api/oicp/evsepush/v21/operators/NO*ALF/status-records",
        )
        assert pushed.json()["Result"], pushed.text
        server.settled()
        answer = server.get(f"{PATH}?station=NOR_01342")
        assert answer.json() == {
            "EVSEStatuses": [
                {
                    "OperatorID": "NO*ALF",
                    "OperatorName": "NO*ALF",
                    "EVSEStatusRecord": [{"EvseID": "NO*ALF*E1342", "EVSEStatus": "Reserved"}],
                }
            ]
        }
        assert answer.headers["content-type"] == "application/json"
        again = server.get(f"{PATH}?station=NOR_01342", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        server.get(PATH)
        metrics = server.get("/metrics", key="admin").text
        assert 'ladestrom_output_left_out{output="oicp",reason="no_oicp_id"} 2.0' in metrics
        assert server.get("/api/oicp/other.json").status_code in {401, 404, 405}
