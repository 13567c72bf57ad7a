"""What the published contracts refer to is there: two types of one name would push each other out."""

from __future__ import annotations

import re

import msgspec

from ladestrom.config import Settings
from ladestrom.roles.contracts import documents
from ladestrom.roles.limits import served


def test_every_reference_of_the_contracts_leads_somewhere() -> None:
    for path, content in documents(served(Settings())).items():
        document = msgspec.json.decode(content)
        for reference in sorted(set(re.findall(r'"\$ref":"#/([^"]*)"', content.decode()))):
            found = document
            for part in reference.split("/"):
                found = found.get(part.replace("~1", "/").replace("~0", "~"))
                assert found is not None, f"{path}: {reference}"
