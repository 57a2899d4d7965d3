"""Configuration: every mistake at once, each with its place and what is accepted, and never a secret."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from mitosis_common import config

Port = Annotated[int, Field(ge=1, le=65535)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Strict):
    host: str = "localhost"
    port: Port = 50051
    tags: list[str] = []
    tls: bool = False


class Database(Strict):
    url: SecretStr | None = None
    pool_size: Annotated[int, Field(ge=1)] = 10


class Settings(Strict):
    server: Server = Server()
    database: Database = Database()
    mode: Literal["small", "large"] = "small"
    name: str


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(config.ConfigError) as raised:
        config.load(Settings, path, environ or {}, {"DATABASE_URL": "database.url"})
    return raised.value.problems


def test_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nserver: {port: 1000, host: h}\n")

    loaded = config.load(
        Settings,
        path,
        {"MITOSIS_SERVER__PORT": "2000", "MITOSIS_SERVER__TAGS": "[gpu, big]", "DATABASE_URL": "postgresql://x"},
        {"DATABASE_URL": "database.url"},
    )

    assert (loaded.server.port, loaded.server.host, loaded.server.tags) == (2000, "h", ["gpu", "big"])
    assert loaded.database.url is not None
    assert loaded.database.url.get_secret_value() == "postgresql://x"
    assert loaded.database.pool_size == 10


def test_a_variable_of_an_unknown_section_is_named(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "mode: small\n"), {"MITOSIS_METRICS__PORT": "1"})

    assert "MITOSIS_METRICS__PORT: metrics: is not a known key; there are database, mode, name, server" in found


def test_reports_every_mistake_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "server: {port: abc, hots: h, tags: 3}\nmode: medium\ndatabase: {pool_size: 0}\nserve: {}\n",
    )

    assert set(problems(path, {"MITOSIS_SERVER__TLS": "perhaps"})) == {
        f'{path}: server.port: given "abc"; accepts a whole number, at least 1 and at most 65535',
        f"{path}: server.hots: is not a known key; there are host, port, tags, tls",
        f"{path}: server.tags: given 3; accepts a list",
        f"{path}: mode: given \"medium\"; accepts one of 'small' or 'large'",
        f"{path}: database.pool_size: given 0; accepts a whole number, at least 1",
        f"{path}: serve: is not a known key; there are database, mode, name, server",
        f"{path}: name: is required",
        'MITOSIS_SERVER__TLS: server.tls: given "perhaps"; accepts true or false',
    }


def test_a_section_that_is_not_a_mapping(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nserver: 3\n")

    assert problems(path) == (f"{path}: server: given 3; accepts a section: a mapping of keys to values",)
    assert problems(path, {"MITOSIS_SERVER__PORT": "1"})[0] == (
        "MITOSIS_SERVER__PORT: server.port lies inside something that the file says is not a section"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "accepts a mapping of keys to values at the top, holds a list"),
        ("name: a\nname: b\n", 'line 2: not valid YAML: the key "name" is there twice'),
        ("1: a\n", "line 1: not valid YAML: keys are texts"),
        ("a: \x01\n", "not valid YAML"),
    ],
)
def test_a_broken_file(tmp_path: Path, text: str, says: str) -> None:
    assert says in problems(write(tmp_path, text))[0]


class OneOf(Strict):
    first: int | None = None
    second: int | None = None

    @model_validator(mode="after")
    def _one(self) -> "OneOf":
        if (self.first is None) is (self.second is None):
            raise ValueError("exactly one of first and second")
        return self


def test_a_rule_about_several_fields_speaks_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.load(OneOf, write(tmp_path, "first: 1\nsecond: 2\n"), {})
    assert str(caught.value) == f"{tmp_path / 'c.yaml'}: exactly one of first and second"


def test_a_missing_file(tmp_path: Path) -> None:
    assert problems(tmp_path / "no.yaml") == (f"{tmp_path / 'no.yaml'}: cannot be read: No such file or directory",)


def test_a_file_that_is_not_read_misses_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {port: 1}\nserver: {port: 2}\n")
    assert problems(path) == (f'{path}: line 2: not valid YAML: the key "server" is there twice',)


def test_a_mapping_in_a_variable_has_each_key_once() -> None:
    class Hooks(Strict):
        env: dict[str, str] = {}

    with pytest.raises(config.ConfigError) as raised:
        config.load(Hooks, None, {"ENV": "{A: b, A: c}"}, {"ENV": "env"})
    assert raised.value.problems == ('ENV: env: given "{A: b, A: c}"; accepts a mapping of keys to values',)


def test_a_list_is_called_a_list(tmp_path: Path) -> None:
    class Tags(Strict):
        tags: tuple[str, ...] = ()

    with pytest.raises(config.ConfigError) as raised:
        config.load(Tags, write(tmp_path, "tags: gpu"), {})
    assert raised.value.problems == (f'{tmp_path / "c.yaml"}: tags: given "gpu"; accepts a list',)


@pytest.mark.parametrize("text", ["database: {url: [hunter2]}\nname: a\n", "database: {url: {a: hunter2}}\nname: a\n"])
def test_never_shows_a_secret(tmp_path: Path, text: str) -> None:
    found = problems(write(tmp_path, text))

    assert len(found) == 1
    assert "database.url" in found[0]
    assert "hunter2" not in found[0]


def test_variables_of_other_parts_are_left_alone() -> None:
    assert (
        config.load(
            Settings,
            None,
            {"MITOSIS_TASK_UUID": "x", "MITOSIS_NAME": "y", "MITOSIS_SERVER__PORT": ""} | {"NAME": "z"},
            {"NAME": "name"},
        ).server.port
        == 50051
    )
