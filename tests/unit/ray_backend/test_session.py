"""Connecting to a cluster that is not there."""

import socket

import pytest

from mtbert_ray.errors import ResourceError
from mtbert_ray.ray_backend.session import ray_session
from mtbert_ray.ray_backend.session_process import cluster_address


def test_an_address_where_nobody_listens_is_refused_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound, but not listening.
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ResourceError, match=f"--address {address}: no Ray answers"),
            ray_session(address, runs_ray_train=False),
        ):
            pass


def test_a_submitted_job_finds_its_cluster_and_an_option_wins(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_address(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster_address(None) == "10.0.0.1:6379"
    assert cluster_address("auto") == "auto"
