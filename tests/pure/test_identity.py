# ruff: noqa: RUF001 - names that look like others are what is tested
"""A name is a person, however it is written."""

import pytest

from environments.identity import listed, same


@pytest.mark.parametrize(
    "other",
    [
        "anna",
        "Anna",
        " anna\t",
        "ANNA",
        "аnnа",
        "an\u200bna",
        "\u2066anna\u2069",
        "ａｎｎａ",
        "αnna",
        "a\u00adnna",
        "anna\ufe0f",
        "𝐚𝐧𝐧𝐚",
    ],
)
def test_whoever_writes_his_name_in_another_way_is_the_same(other):
    assert same("anna", other)
    assert same(other, "anna")


@pytest.mark.parametrize(
    ("name", "other"),
    [("anna", "bob"), ("anna1", "annal"), ("anna", "hanna"), ("anna", ""), ("", ""), ("\u200b", "\u200b"), ("Мария", "Марина"), ("o0", "oo")],
)  # fmt: skip
def test_others_are_others_and_no_name_is_nobody(name, other):
    assert not same(name, other)


def test_names_of_other_scripts_are_compared_as_they_are_seen():
    assert same("МАРИЯ", "мария")
    assert same("ΜΑΝΝΗ", "MANNH")
    assert same("the  computing\u00a0board", "The Computing Board")
    assert listed("Ann", ("bob", "ann "))
    assert not listed("Ann", ())
