"""What an address says."""

from __future__ import annotations

import pytest

from mitosis_common.loopback import host_of, is_host_and_port, is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "192.0.2.1", "::ffff:192.0.2.1", "128.0.0.1", "localhost.example.com", "127.1"],
)
def test_elsewhere(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1:7070", "127.0.0.1"), ("[::1]:7070", "::1"), ("Db.Example.com:1", "db.example.com"), ("[::1", "")],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:65535", "[::1]:7070", "a_b.example.com:80"])
def test_a_host_and_a_port(address: str) -> None:
    assert is_host_and_port(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host",
        "host:",
        ":7070",
        "host:0",
        "host:65536",
        "host:x",
        "host:-1",
        "[::1",
        "a@host:1",
        "host:1/x",
        "http://host:1",
    ],
)
def test_no_host_and_port(address: str) -> None:
    assert not is_host_and_port(address)
