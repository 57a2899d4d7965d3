"""An independent worker keeps its token off plain text, as a manager does."""

from pathlib import Path

import pytest

from mitosis_common.config import ConfigError
from mitosis_worker import config


def load(tmp_path: Path, coordinator: str) -> config.WorkerConfig:
    path = tmp_path / "worker.yaml"
    path.write_text(f"coordinator: {{token_file: token, {coordinator}}}\n")
    return config.load(path, {})


@pytest.mark.parametrize("coordinator", ["url: 'http://192.0.2.1:8080'", "stream_url: 'grpc://other:7070'"])
def test_a_token_over_plain_text_to_another_machine_is_refused(tmp_path: Path, coordinator: str) -> None:
    with pytest.raises(ConfigError, match="insecure: true allows that"):
        load(tmp_path, coordinator)
    assert load(tmp_path, f"{coordinator}, insecure: true").coordinator.insecure


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080", "https://other:8080"])
def test_loopback_and_tls_need_no_permission(tmp_path: Path, url: str) -> None:
    assert not load(tmp_path, f"url: '{url}'").coordinator.insecure
