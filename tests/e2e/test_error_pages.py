"""The `type` of an error is an address on the server, and what is there explains the code."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.serving import Serving


def test_the_type_of_a_problem_leads_to_a_page_that_explains_its_code(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        problem = server.get("/api/v1/rest/charger/NOR_99999").json()
        page = server.get(problem["type"])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert problem["code"] in page.text
        assert "What to do" in page.text
        index = server.get("/docs/errors")
        assert f'href="{problem["type"]}"' in index.text
        assert server.get("/docs/errors/no_such_code").status_code == 404
