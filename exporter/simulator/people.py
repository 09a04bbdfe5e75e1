"""Made-up personal data for the rows of the conversation list.

Every text holds one of `PLANTED`, whatever its case, so that a test can search for what leaked.
"""

from typing import Any

PLANTED = ("quillfeather", "zwetschgenkuchen", "planted.example")
_FIRST_NAMES = ("Wilma", "Óscar", "Ümit", 'Jo "Jojo"', "Zoë")


def customer(number: int) -> dict[str, Any]:
    return {"id": number % 10**6 + 100, "type": "customer", **_person(number, "")}


def user(number: int) -> dict[str, Any]:
    return {"id": number, "type": "user", **_person(number, "desk.")}


def subject(number: int) -> str:
    return f"Where is my Zwetschgenkuchen, order {number % 9973}?"


def preview(number: int) -> str:
    return (
        f"Hello, this is {_first(number)} Quillfeather, please call +49 30 5550{number % 9973:04}"
    )


def address(number: int) -> str:
    return f"{number % 199} Quillfeather Lane"


def _person(number: int, prefix: str) -> dict[str, Any]:
    return {
        "first": f"{_first(number)}-Quillfeather",
        "last": "Quillfeather",
        "email": f"{prefix}quillfeather.{number % 9973}@planted.example",
        "photoUrl": f"https://planted.example/{number % 9973}.png",
    }


def _first(number: int) -> str:
    return _FIRST_NAMES[number % len(_FIRST_NAMES)]
