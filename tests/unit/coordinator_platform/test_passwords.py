"""Passwords."""

import pytest
from argon2 import PasswordHasher

from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.services.names import check_name
from mitosis_coordinator.services.passwords import Passwords, check_password, generate_password

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def test_only_the_right_password_fits() -> None:
    passwords = Passwords(QUICK)
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "battery staple")
    assert not await passwords.verify(None, "correct horse")
    assert not await passwords.verify("no hash at all", "correct horse")
    assert not await passwords.verify(hashed, "x" * 10_000)


async def test_old_parameters_are_noticed() -> None:
    hashed = await Passwords(QUICK).hash("correct horse")
    assert not Passwords(QUICK).is_outdated(hashed)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).is_outdated(hashed)


def test_generated_passwords_differ_and_fit() -> None:
    first, second = generate_password(), generate_password()
    assert first != second
    check_password("password", first)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_a_password_out_of_bounds_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_password("new_password", password)
    assert str(caught.value) == f"new_password: given {len(password)} characters; accepts 8 to 1024 characters"


@pytest.mark.parametrize("name", ["a", "A.b_c@d-9", "x" * 64])
def test_names_that_fit(name: str) -> None:
    check_name("username", name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "ü", "a\n", "a/b", "a\0"])
def test_names_that_do_not(name: str) -> None:
    with pytest.raises(InvalidField, match="username"):
        check_name("username", name)
