"""Configurations that are not any more what a plan was made with, and the words with which that is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

Change = Callable[[dict[str, Any]], None]


def _order(config: dict[str, Any]) -> None:
    backends = config["groups"]["backends"]
    backends["hosts"] = dict(reversed(backends["hosts"].items()))


def _tag(config: dict[str, Any]) -> None:
    hosts = config["groups"]["backends"]["hosts"]
    hosts["b2"] = {"address": hosts["b2"], "tags": ["new"]}


def _address(config: dict[str, Any]) -> None:
    hosts = config["groups"]["backends"]["hosts"]
    hosts["b1"], hosts["b2"] = hosts["b2"], hosts["b1"]


def _new_group(config: dict[str, Any]) -> None:
    config["groups"]["east"] = {"hosts": {"b1": None, "b2": None}}


def _other_members(config: dict[str, Any]) -> None:
    hosts = config["groups"]["backends"]["hosts"]
    config["groups"]["spare"] = {"hosts": {"b2": hosts.pop("b2")}}


def _gone(config: dict[str, Any]) -> None:
    del config["groups"]["backends"]["hosts"]["b2"]


def _new_host(config: dict[str, Any]) -> None:
    config["groups"]["backends"]["hosts"]["b99"] = "127.0.0.99"


def _protection(config: dict[str, Any]) -> None:
    config["protect"] = ["b1"]


# what was changed -> how, and what is said of it; the configuration has the backends b1 and b2 at least
CHANGES: Mapping[str, tuple[Change, str]] = {
    "order": (_order, "the order of the hosts changed"),
    "tag": (_tag, "the tags of b2 were none and are new"),
    "address": (_address, "b1 was http://"),
    "group": (_new_group, "the group east is new"),
    "members": (_other_members, "the members of the group backends, or their order, changed"),
    "host gone": (_gone, "the host b2 is gone"),
    "new host": (_new_host, "the host b99 is new"),
    "protection": (_protection, "b1 is protected now"),
}


def change(path: Path, what: str) -> str:
    """Change a configuration; returns the words with which a run of before is refused."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    how, words = CHANGES[what]
    how(config)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return words
