"""Logs: one format for structlog and the standard library, and no secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mitosis_common import log


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_libraries_write_the_same_records(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.configure("info", "json", path, process="coordinator")

    structlog.get_logger("ours").info("suite_opened", suite_uuid="u")
    logging.getLogger("theirs").warning("it is %s", "late")
    structlog.get_logger("ours").debug("not_written")

    ours, theirs = records(path)
    assert (ours["event"], ours["suite_uuid"], ours["process"], ours["level"]) == (
        "suite_opened",
        "u",
        "coordinator",
        "info",
    )
    assert (theirs["event"], theirs["logger"], theirs["process"]) == ("it is late", "theirs", "coordinator")
    assert str(ours["timestamp"]).endswith("Z")


def test_hides_credentials_and_keeps_what_only_sounds_like_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.configure("info", "json", path)

    structlog.get_logger().info("login", token="t", password_hash="p", page_token="shown", Authorization="a")

    (record,) = records(path)
    assert (record["token"], record["password_hash"], record["Authorization"]) == ("[hidden]",) * 3
    assert record["page_token"] == "shown"


def test_configuring_again_replaces_the_output(tmp_path: Path) -> None:
    log.configure("info", "json", tmp_path / "a")
    logger = structlog.get_logger()
    logger.info("first")
    log.configure("info", "console", tmp_path / "b")
    logger.info("second", n=1)

    assert [record["event"] for record in records(tmp_path / "a")] == ["first"]
    assert "second" in (tmp_path / "b").read_text()


def test_refuses_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="accepts one of debug, info, warning, error"):
        log.configure("loud")
