"""Machines for the tests of what comes from a hub."""

import socket

import pytest

from mingpt import download


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """No caches, no settings, no naps."""
    names = "PATCHBOARD_CACHE XDG_CACHE_HOME HF_HOME HF_HUB_CACHE HF_ENDPOINT HF_HUB_OFFLINE"
    names += " HF_TOKEN LOCALAPPDATA http_proxy https_proxy all_proxy no_proxy"
    for name in names.split():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr(download, "sleep", lambda seconds: None)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
