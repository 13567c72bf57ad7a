"""Where the licences can be read under which registers are published.

Settings and registers name a licence in a few words. Must not know which register has which.
"""

from __future__ import annotations

import re
from typing import Final

_ADDRESSES: Final = {
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "cc010": "https://creativecommons.org/publicdomain/zero/1.0/",
    "ccby30": "https://creativecommons.org/licenses/by/3.0/",
    "ccby40": "https://creativecommons.org/licenses/by/4.0/",
    "ccbysa40": "https://creativecommons.org/licenses/by-sa/4.0/",
    "dldebyde20": "https://www.govdata.de/dl-de/by-2-0",
    "dldeby20": "https://www.govdata.de/dl-de/by-2-0",
    "dldezero20": "https://www.govdata.de/dl-de/zero-2-0",
    "etalab20": "https://www.etalab.gouv.fr/licence-ouverte-open-licence/",
    "licenceouverte20": "https://www.etalab.gouv.fr/licence-ouverte-open-licence/",
    "licenceouverteopenlicence20": "https://www.etalab.gouv.fr/licence-ouverte-open-licence/",
    "nlod10": "https://data.norge.no/nlod/en/1.0",
    "nlod20": "https://data.norge.no/nlod/en/2.0",
    "odbl10": "https://opendatacommons.org/licenses/odbl/1-0/",
    "ogluk30": "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
}
"""By the letters and digits of SPDX's id, or of the name."""
_VERSION: Final = re.compile(r"\bversion\b|\bv(?=[0-9])")
_ADDRESS: Final = re.compile(r"https?://[!#-;=?-~]+")
"""What may stand between the brackets of a Link header (RFC 8288): visible, without brackets and quotes."""


def address(licence: str) -> str | None:
    """Where a licence can be read: what is written, if that is an address; None where it is not known."""
    licence = licence.strip()
    if _ADDRESS.fullmatch(licence):
        return licence
    return _ADDRESSES.get(re.sub(r"[^a-z0-9]", "", _VERSION.sub("", licence.casefold())))
