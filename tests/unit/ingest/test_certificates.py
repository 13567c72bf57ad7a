from __future__ import annotations

import pytest
from tests.building import make_operator

from ladestrom.errors import InvalidSetting, NotAllowed, Unauthenticated
from ladestrom.ingest.certificates import Certificates
from ladestrom.model import Operator
from ladestrom.transports.pushes import certificate_subjects

HEADER = "X-Client-Subject"
PROXY = "192.0.2.1"
SUBJECT = "CN=oicp.abc.example,O=ABC Lading,C=NO"


def find(name: str) -> Operator | None:
    return make_operator() if name == "abc" else None


@pytest.fixture
def certificates() -> Certificates:
    return Certificates(HEADER, [PROXY], {SUBJECT: "abc", "CN=gone": "gone"}, find)


@pytest.mark.parametrize(
    "told", [SUBJECT, SUBJECT.lower(), "CN=oicp.abc.example, O=ABC Lading, C=NO", f" {SUBJECT} "]
)
def test_a_subject_is_its_operators(certificates: Certificates, told: str) -> None:
    assert certificates.operator({HEADER.lower(): told}, PROXY) == make_operator()


@pytest.mark.parametrize("told", ["CN=oicp.abc.example", "CN=oicp.xyz.example,O=ABC Lading,C=NO", ""])
def test_another_subject_is_nobodys(certificates: Certificates, told: str) -> None:
    with pytest.raises(Unauthenticated):
        certificates.operator({HEADER.lower(): told}, PROXY)


@pytest.mark.parametrize("told", ["CN=\u017ftra\u00dfe", "CN=STRA\u1e9eE", "CN=stra\u00dfe"])
def test_a_subject_that_looks_alike_in_unicodes_case_mapping_is_anothers(told: str) -> None:
    own = Certificates(HEADER, [PROXY], {"CN=strasse": "abc"}, find)
    with pytest.raises(Unauthenticated):
        own.operator({HEADER.lower(): told}, PROXY)
    assert own.operator({HEADER.lower(): "CN=STRASSE"}, PROXY) == make_operator()


@pytest.mark.parametrize("peer", ["192.0.2.2", "", "127.0.0.1"])
def test_only_the_proxy_is_believed(certificates: Certificates, peer: str) -> None:
    with pytest.raises(Unauthenticated, match="neither a key"):
        certificates.operator({HEADER.lower(): SUBJECT}, peer)


def test_another_header_says_nothing(certificates: Certificates) -> None:
    with pytest.raises(Unauthenticated):
        certificates.operator({"x-ssl-client-s-dn": SUBJECT}, PROXY)


def test_an_operator_that_does_not_exist_may_not(certificates: Certificates) -> None:
    with pytest.raises(NotAllowed):
        certificates.operator({HEADER.lower(): "CN=gone"}, PROXY)


def test_the_setting_names_operator_and_subject() -> None:
    assert certificate_subjects(["abc=CN=a,O=ABC", " xyz =CN=x"]) == {"CN=a,O=ABC": "abc", "CN=x": "xyz"}


@pytest.mark.parametrize("pair", ["", "abc", "abc=", "=CN=a", " = "])
def test_and_nothing_less(pair: str) -> None:
    with pytest.raises(InvalidSetting, match="OPERATOR=SUBJECT"):
        certificate_subjects([pair])
