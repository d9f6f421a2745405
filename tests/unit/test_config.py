"""The configuration file: what it says, where it is found, and what it must not contain."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.fleet.config import Config, SecretSpec, find_config, load_config
from orchestrator.fleet.inventory import build_inventory
from orchestrator.secret import SecretReference
from tests.strategies import config, document

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def refused(text: str) -> InputError:
    """The error of a configuration."""
    with pytest.raises(InputError) as caught:
        Config(Path("config.yaml"), document(text, source="config.yaml"))
    return caught.value


def test_the_example_is_valid() -> None:
    """config.example.yaml loads, and its fleet has the hosts that it shows."""
    inventory = build_inventory(load_config(EXAMPLE))
    assert list(inventory.hosts) == ["d1", "d2", *(f"b{n}" for n in range(1, 10))]
    assert inventory.hosts["b9"].protected
    assert inventory.hosts["b9"].endpoint.url == "https://10.0.1.9:8443/doveadm/v1"
    assert inventory.groups["canary"] == ("b1",)


@pytest.mark.parametrize(
    "text",
    [
        "defaults: {auth: {password: hunter2x}}\ngroups: {}",
        "defaults: {auth: {api_key: 'hunter2x'}}\ngroups: {}",
        "groups: {g: {hosts: {b1: {address: b1, auth: {password: hunter2x}}}}}",
        "groups:\n  g:\n    hosts: {}\n    defaults:\n      auth:\n        api_key: hunter2x\n",
        "groups:\n  g:\n    hosts: {}\n    defaults:\n      auth:\n        api_key: |\n          hunter2x\n",
    ],
)
def test_a_literal_secret_is_refused_and_not_shown(text: str) -> None:
    """A secret in the file is refused with the three ways to refer to it, and the error does not repeat it."""
    error = refused(text)
    assert "refer to it: {env: NAME}, {file: PATH} or {command: [...]}" in error.message
    assert "hunter2x" not in error.message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("groups: {}\nlimit: {}", "config.yaml:2:1", "unknown key 'limit' (did you mean 'limits'?)"),
        ("groups: {}\nlimits: {in_fligth: 5}", "config.yaml:2:10", "did you mean 'in_flight'?"),
        ("limits: {}", "config.yaml:1:1", "the key 'groups' is missing"),
        ("groups: {}\nlimits: {in_flight: 0}", "config.yaml:2:21", "greater than or equal to 1"),
        ("groups: {}\nlimits: {per_host: 65}", "config.yaml:2:20", "must be a number from 1 to 64, or auto"),
        ("groups: {}\nlimits: {per_host: yes}", "config.yaml:2:20", "yes is a boolean in YAML"),
        ("groups: {}\nlimits: {per_host: true}", "config.yaml:2:20", "must be a number from 1 to 64, or auto"),
        ("groups: {}\nlimits: {rate: 0}", "config.yaml:2:16", "greater than 0"),
        ("groups: {}\nlimits: {max_failed: 101%}", "config.yaml:2:22", "is not a count or a percentage"),
        ("groups: {}\nretry: {attempts: 0}", "config.yaml:2:19", "greater than or equal to 1"),
        ("groups: {}\nretry: {base: soon}", "config.yaml:2:15", "is not a duration"),
        ("groups: {}\ndefaults: {scheme: ftp}", "config.yaml:2:20", "must be one of 'https' or 'http'"),
        ("groups: {}\ndefaults: {port: 0}", "config.yaml:2:18", "greater than or equal to 1"),
        ("groups: {}\ndefaults: {port: 65536}", "config.yaml:2:18", "less than or equal to 65535"),
        ("groups: {}\ndefaults: {port: '80'}", "config.yaml:2:18", "valid integer"),
        ("groups: {}\ndefaults: {auth: {}}", "config.yaml:2:18", "give exactly one of password and api_key"),
        (
            "groups: {}\ndefaults: {auth: {password: {env: A}, api_key: {env: B}}}",
            "config.yaml:2:18",
            "give exactly one of password and api_key",
        ),
        (
            "groups: {}\ndefaults: {auth: {password: {}}}",
            "config.yaml:2:29",
            "give exactly one of env, file and command",
        ),
        (
            "groups: {}\ndefaults: {auth: {password: {env: A, file: b}}}",
            "config.yaml:2:29",
            "give exactly one of env, file and command",
        ),
        ("groups: {}\ndefaults: {auth: {password: {command: pass}}}", "config.yaml:2:39", "must be a list"),
        ("groups: {}\ndefaults: {auth: {password: {command: []}}}", "config.yaml:2:39", "at least 1 item"),
        ("groups: {}\ndefaults: {tls: {verify: 'false'}}", "config.yaml:2:26", "valid boolean"),
        ("groups: {}\ndefaults: {timeout: {request: -5s}}", "config.yaml:2:31", "is not a duration"),
        ("groups: {}\nprotect: b9", "config.yaml:2:10", "must be a list"),
        ("groups: [b1]", "config.yaml:1:9", "must be a mapping"),
        ("groups: {g: [b1]}", "config.yaml:1:13", "must be a mapping"),
        ("groups: {g: {hosts: {b1: {}}}}", "config.yaml:1:22", "the key 'address' is missing"),
        (
            "groups: {g: {hosts: {b1: 5}}}",
            "config.yaml:1:26",
            "an address must be text, not the number 5; put it in quotes",
        ),
        ("groups: {g: {hosts: {b1: {address: b1, prot: 5}}}}", "config.yaml:1:40", "did you mean 'port'?"),
        ("groups: {g: {host: {b1: b1}}}", "config.yaml:1:14", "did you mean 'hosts'?"),
    ],
)
def test_mistakes_are_named_where_they_stand(text: str, place: str, message: str) -> None:
    """Each mistake is reported at its line and column, with what is valid there."""
    shown = [str(problem) for problem in refused(text).problems]
    assert any(line.startswith(place) and message in line for line in shown), shown


def test_all_mistakes_are_shown_at_once() -> None:
    """Five mistakes are five problems."""
    text = "limit: {}\ngroups: {}\ndefaults:\n  port: x\n  scheme: ftp\nretry: {attempts: 0, max: never}\n"
    assert len(refused(text).problems) == 5


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ({"env": "A"}, SecretReference("env", "A")),
        ({"file": "key"}, SecretReference("file", "/etc/o/key")),
        ({"file": "/run/key"}, SecretReference("file", "/run/key")),
        ({"command": ["pass", "show", "x"]}, SecretReference("command", ("pass", "show", "x"))),
    ],
)
def test_secrets_are_references(spec: dict[str, object], reference: SecretReference) -> None:
    """A secret's file is relative to the configuration; nothing is read."""
    assert SecretSpec.model_validate(spec).reference(Path("/etc/o")) == reference


def test_settings_have_no_values_unless_given() -> None:
    """What the file does not say is None, so that other layers can say it."""
    file = config("groups: {}").file
    assert (file.limits.in_flight, file.limits.per_host, file.retry.attempts, file.defaults.port) == (None,) * 4


class TestLookup:
    """Where the configuration is looked for."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "here").mkdir()
        (tmp_path / "home" / "orchestrator").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        self.environ = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
        self.folder = tmp_path

    def test_order(self) -> None:
        """-c overrides ORCHESTRATOR_CONFIG, that the working directory's, that the user's."""
        own = self.folder / "home" / "orchestrator" / "config.yaml"
        own.touch()
        assert find_config(None, self.environ) == own
        (self.folder / "here" / "config.yaml").touch()
        assert find_config(None, self.environ) == Path("config.yaml")
        named = {**self.environ, "ORCHESTRATOR_CONFIG": "/x/fleet.yaml"}
        assert find_config(None, named) == Path("/x/fleet.yaml")
        assert find_config("given.yaml", named) == Path("given.yaml")

    def test_nothing_found(self) -> None:
        """Without any, the error names the places that were tried and what to do."""
        with pytest.raises(InputError) as caught:
            find_config(None, self.environ)
        assert f"{self.folder}/home/orchestrator/config.yaml, /etc/orchestrator/config.yaml" in caught.value.message
        assert "config.example.yaml" in caught.value.hint

    def test_a_folder_is_no_configuration(self) -> None:
        """A directory of that name is passed over."""
        (self.folder / "here" / "config.yaml").mkdir()
        with pytest.raises(InputError):
            find_config(None, self.environ)

    def test_an_empty_variable_counts_as_none(self) -> None:
        """An empty ORCHESTRATOR_CONFIG is no path."""
        with pytest.raises(InputError, match="no configuration file found"):
            find_config(None, {**self.environ, "ORCHESTRATOR_CONFIG": ""})


def test_relative_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    """CA and secret files are found beside the configuration, from whichever directory it is used."""
    path = tmp_path / "config.yaml"
    path.write_text("defaults: {tls: {ca_file: ca.pem}, auth: {password: {file: key}}}\ngroups: {g: {hosts: {b1: b1}}}")
    endpoint = build_inventory(load_config(path)).hosts["b1"].endpoint
    assert endpoint.tls.ca_file == str(tmp_path / "ca.pem")
    assert endpoint.secret.target == str(tmp_path / "key")
