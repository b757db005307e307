"""Refusals that the other side sends: foreign codes and facts become words, never trouble."""

from __future__ import annotations

from shared.errors import REFUSALS, Refused, refused_there


def test_every_refusal_has_words_whatever_facts_are_missing() -> None:
    for code in REFUSALS:
        assert str(Refused(code)).strip()


def test_a_known_refusal_keeps_its_facts() -> None:
    assert "2 attempts left" in str(refused_there("wrong_code", {"attempts_left": "2"}))


def test_a_code_of_another_release_is_named_and_cut() -> None:
    told = refused_there("tea_break" * 50, {})
    assert told.code == "unknown_refusal"
    assert "tea_break" in str(told)
    assert len(str(told)) < 250


def test_facts_cannot_take_the_place_of_arguments() -> None:
    told = refused_there("wrong_code", {"code": "x", "self": "y", "attempts_left": "9" * 10_000})
    assert told.code == "wrong_code"
    assert len(str(told)) < 400
