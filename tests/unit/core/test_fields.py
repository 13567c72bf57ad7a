from __future__ import annotations

import math

import pytest

from ladestrom.core.fields import Notes, clean, decimal, email, phone, plain, quoted, truth, web_address


def cleaned(value: object, chars_max: int = 100) -> tuple[str, tuple[str, ...]]:
    notes = Notes(20)
    return clean(value, "name", chars_max, notes), notes.all()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Lade &amp; Kaffe", "Lade & Kaffe"),
        ("Bl&aring;b&aelig;r &#39;Nord&#39;", "Blåbær 'Nord'"),
        ("  over\r\n\ttwo   lines ", "over two lines"),
        ("bell\x07, \x00null and \u202ereversed\u202c", "bell , null and reversed"),
        (7, "7"),
        (7.0, "7"),
        (7.25, "7.25"),
        (False, ""),
        (True, ""),
        (None, ""),
        ([], ""),
        ({"a": 1}, ""),
        (math.inf, "inf"),
    ],
)
def test_text_is_one_line_with_its_entities_read(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("Garasjen, post@example.org", "Garasjen"),
        ("Garasjen (post@example.org)", "Garasjen ( )"),
        ("Garasjen &#64; post&#64;example.org", "Garasjen"),
        ("mailto:post@example.org Garasjen", "Garasjen"),
        ("tel:+33-1-00-00-00-00 Gare", "Gare"),
        ("Garasjen tlf. 00 00 00 00", "Garasjen"),
        ("Garasjen telefon: 99000000", "Garasjen"),
        ("Garasjen +47 000 00 000", "Garasjen"),
        ("Garasjen 0047 90 00 00 00", "Garasjen"),
        ("Gare 01 00 00 00 00", "Gare"),
        ("Torget 018-611 00 00", "Torget"),
        ("Garasjen 900 00 000", "Garasjen"),
        ("Garasjen 90 00 00 00", "Garasjen"),
    ],
)
def test_contact_data_is_left_out_of_free_text_and_noted(value: str, kept: str) -> None:
    assert cleaned(value) == (kept, ("contact data was left out of its name",))


@pytest.mark.parametrize(
    "value",
    [
        "Hotel 24, 75001 Paris",
        "6384+G8 Cormontreuil",
        "E6 Avkjøring 57, 1640 Råde",
        "12 rue du 8 mai 1945",
        "Route 66, km 1200",
        "Station 20250328",
        "1201 Avenue A 13100 Aix",
        "Telegrafgata 9",
    ],
)
def test_numbers_that_are_no_telephone_stay(value: str) -> None:
    assert cleaned(value) == (value, ())


def test_text_over_the_limit_is_cut_and_noted() -> None:
    assert cleaned("abc def ghi", 8) == ("abc def", ("its name was cut to 8 characters",))
    assert cleaned("x" * 5_000_000, 10)[0] == "x" * 10


def test_a_long_text_of_one_word_is_cleaned_in_no_time() -> None:
    assert "@" not in cleaned("a" * 4_000_000 + "@" + "b" * 4_000_000, 255)[0]
    assert cleaned("1 " * 2_000_000, 255)[0].startswith("1 1")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("50.0", 50.0),
        (" 62,5 ", 62.5),
        ("2.299999952316284", 2.299999952316284),
        ("-5.0E-06", -5e-06),
        (22, 22.0),
        (7.4, 7.4),
        (10**400, None),
        (-(10**400), None),
        (math.nan, None),
        (math.inf, None),
        ("NaN", None),
        ("inf", None),
        ("1_000", None),
        ("0x10", None),
        ("1" * 400, None),
        ("", None),
        (None, None),
        (True, None),
        (["1"], None),
    ],
)
def test_numbers_are_read_out_of_numbers_and_text_and_out_of_nothing_else(
    value: object, number: float | None
) -> None:
    assert decimal(value) == number


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "True", "true", "TRUE", "vrai", "Oui", "yes", " t "])
def test_true_has_many_words(value: object) -> None:
    assert truth(value) is True


@pytest.mark.parametrize("value", [False, 0, "0", "False", "faux", "Non", "no", "", None, "  "])
def test_false_has_many_words_and_silence_is_one(value: object) -> None:
    assert truth(value) is False


@pytest.mark.parametrize("value", ["peut-être", 2, "-1", math.nan])
def test_what_is_neither_true_nor_false_is_none(value: object) -> None:
    assert truth(value) is None


def test_a_quoted_value_is_short_and_holds_no_contact_data() -> None:
    assert quoted("a" * 100) == '"' + "a" * 40 + '..."'
    assert quoted("by post@example.org") == '"by"'
    assert quoted({"a": "b@c"}) == '""'


def test_a_record_has_each_note_once_and_a_limited_number_of_them() -> None:
    notes = Notes(3)
    for note in "aabbccddee":
        notes.add(note)
    assert notes.all() == ("a", "b", "c", "and 2 more notes")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://example.org", "https://example.org"),
        ("  https://example.org/bilder/1.jpg?a=1&copy=2#x ", "https://example.org/bilder/1.jpg?a=1&copy=2#x"),
        ("HTTP://Example.ORG:8080/A", "http://Example.ORG:8080/A"),
        ("https://ladesäule.example/straße", "https://ladesäule.example/straße"),
        ("https://xn--ladesule-4za.example/@here:1", "https://xn--ladesule-4za.example/@here:1"),
        ("https://example.org./", "https://example.org./"),
        ("https://under_score.example", "https://under_score.example"),
        (f"https://example.org/{'a' * 1_980}", f"https://example.org/{'a' * 1_980}"),
    ],
)
def test_an_address_that_a_browser_may_be_sent_to_is_kept_as_it_is_written(value: str, kept: str) -> None:
    notes = Notes(20)
    assert (web_address(value, "web site", notes), notes.all()) == (kept, ())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("www.example.org", "is neither https nor http"),
        ("//example.org/a", "is neither https nor http"),
        ("javascript:alert(1)", "is neither https nor http"),
        ("java\tscript:alert(1)", "has characters that an address cannot have"),
        ("data:text/html,hello", "is neither https nor http"),
        ("file:///etc/passwd", "is neither https nor http"),
        ("ftp://example.org/", "is neither https nor http"),
        (7, "is neither https nor http"),
        ("https:example.org", "names no host of the public network"),
        ("https://", "names no host of the public network"),
        ("https:///a", "names no host of the public network"),
        ("https://localhost/reboot", "names no host of the public network"),
        ("http://192.168.1.1/reboot", "names no host of the public network"),
        ("http://0x7f.1/", "names no host of the public network"),
        ("http://2130706433/", "names no host of the public network"),
        ("http://[::1]/", "names no host of the public network"),
        ("https://example..org/", "names no host of the public network"),
        ("https://-example.org/", "names no host of the public network"),
        ("https://example.org:0/", "names no host of the public network"),
        (f"https://{'a' * 64}.example/", "names no host of the public network"),
        (f"https://{'a.' * 130}example/", "names no host of the public network"),
        ("https://example.org:99999/", "cannot be read"),
        ("https://example.org:https/", "cannot be read"),
        ("https://[example.org/", "cannot be read"),
        ("https://example.org\u2100.example/", "cannot be read"),
        ("https://user@example.org/", "names a user"),
        ("https://example.org:secret@elsewhere.example/", "names a user"),
        ("https://@example.org/", "names a user"),
        ("https://example.org\\@elsewhere.example/", "has characters that an address cannot have"),
        ("https://example.org/a b", "has characters that an address cannot have"),
        ("https://example.org/<script>", "has characters that an address cannot have"),
        ('https://example.org/"onload="', "has characters that an address cannot have"),
        ("https://example.org/\u202egpj.exe", "has characters that an address cannot have"),
        ("https://example.org/\u200b", "has characters that an address cannot have"),
        ("https://example.org/\x00", "has characters that an address cannot have"),
        ("https://example.org/\r\nSet-Cookie: a", "has characters that an address cannot have"),
        ("https://example.org/\ud800", "has characters that an address cannot have"),
        (f"https://example.org/{'a' * 2_000}", "has more than 2000 characters"),
        (f"https://{'a' * 1_000_000}", "has more than 2000 characters"),
    ],
)
def test_an_address_that_is_none_or_leads_elsewhere_is_left_out(value: object, fault: str) -> None:
    notes = Notes(20)
    assert web_address(value, "web site", notes) == ""
    assert notes.all() == (f"the address of its web site {fault}, and was left out",)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("+47 21 49 69 10", "+47 21 49 69 10"),
        ("\u202a+47\xa021496910\u202c", "+47 21496910"),
        ("tel:+4721496910", "+4721496910"),
        (33972668001, "33972668001"),
        ("+49 (0) 30/123-456", "+49 (0) 30/123-456"),
        ("(01) 23.45.67.89", "(01) 23.45.67.89"),
        ("+46 8 123 456 ext. 17", "+46 8 123 456 ext. 17"),
        ("118", "118"),
    ],
)
def test_a_telephone_number_is_kept_as_it_is_written(value: object, kept: str) -> None:
    notes = Notes(20)
    assert (phone(value, "operator", notes), notes.all()) == (kept, ())


@pytest.mark.parametrize(
    "value",
    [
        "12",
        "+",
        "call us",
        "+47 21 49 69 10; +47 21 49 69 11",
        "+4721496910<script>",
        "21 49 69 10 / 21 49 69 11 / 21 49 69 12",
        "\uff10\uff11\uff12\uff13\uff14",
        "1" * 21,
        "1 " * 1_000_000,
        "+47+47 123",
    ],
)
def test_a_telephone_number_that_is_none_is_left_out(value: str) -> None:
    notes = Notes(20)
    assert phone(value, "operator", notes) == ""
    assert notes.all() == ("the telephone number of its operator is none, and was left out",)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("post@example.org", "post@example.org"),
        (" mailto:Post+lading@lade.example.org ", "Post+lading@lade.example.org"),
        ("kontakt@ladesäule.example", "kontakt@ladesäule.example"),
    ],
)
def test_an_e_mail_address_is_kept_as_it_is_written(value: str, kept: str) -> None:
    notes = Notes(20)
    assert (email(value, "operator", notes), notes.all()) == (kept, ())


@pytest.mark.parametrize(
    "value",
    [
        "example.org",
        "post@",
        "@example.org",
        "post@localhost",
        "post@127.0.0.1",
        "post@[127.0.0.1]",
        "post@@example.org",
        "post@example.org?bcc=other@example.org",
        "post@example.org, other@example.org",
        "Post <post@example.org>",
        "post@example.org\r\nBcc: other@example.org",
        '"post"@example.org',
        f"{'a' * 65}@example.org",
        f"a@{'a.' * 130}example",
        "@" * 1_000_000,
    ],
)
def test_an_e_mail_address_that_is_none_is_left_out(value: str) -> None:
    notes = Notes(20)
    assert email(value, "operator", notes) == ""
    assert notes.all() == ("the e-mail address of its operator is none, and was left out",)


@pytest.mark.parametrize("value", [None, "", "  ", False, [], {}])
def test_of_nothing_there_is_no_address_and_no_note(value: object) -> None:
    notes = Notes(20)
    assert web_address(value, "a", notes) == phone(value, "a", notes) == email(value, "a", notes) == ""
    assert notes.all() == ()
