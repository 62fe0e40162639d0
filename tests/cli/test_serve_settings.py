"""Settings: one table, three ways in, one line for every mistake."""

import json
import tomllib
from pathlib import Path

import pytest

from orion_registry.cli.settings_table import BEGIN, END, insert
from orion_registry.server.limit_settings import most_connections
from orion_registry.server.settings import TABLE, Settings
from orion_registry.server.settings_sources import load, print_config
from orion_registry.server.start_error import SettingError, StartError
from tests.cli.process import run_serve
from tests.cli.running import failed

ROOT = Path(__file__).parents[2]


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "orion.toml"
    file.write_text('retention = "1m"\nbeat_budget = 7\nhistory_size = 9\n')
    environ = {"ORION_RETENTION": "2m", "ORION_BEAT_BUDGET": "8", "ORION_LOG_LEVEL": ""}
    loaded = load({"retention": "3m"}, environ, str(file))
    settings = loaded.settings
    assert (settings.retention_s, settings.beat_budget, settings.history_size) == (180.0, 8, 9)
    assert settings.log_level == "info", "an empty variable counts as not set"
    assert [loaded.origins[name] for name in ("retention", "beat_budget", "history_size", "log_level")] == [
        "flag --retention",
        "environment ORION_BEAT_BUDGET",
        f"file {file}",
        "default",
    ]


def test_listen_by_repeated_flag_comma_list_and_toml_list(tmp_path: Path) -> None:
    file = tmp_path / "orion.toml"
    file.write_text('listen = ["127.0.0.1:1", "unix:/tmp/x"]\n')
    assert load({"listen": ("127.0.0.1:1", "[::1]:2")}, {}).settings.listen == ("127.0.0.1:1", "[::1]:2")
    assert load({}, {"ORION_LISTEN": "127.0.0.1:1, unix:/a"}).settings.listen == ("127.0.0.1:1", "unix:/a")
    assert load({}, {}, str(file)).settings.listen == ("127.0.0.1:1", "unix:/tmp/x")


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5s", 1.5), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("0", 0.0), ("0s", 0.0)]
)
def test_spans(text: str, seconds: float) -> None:
    assert load({"retention": text}, {}).settings.retention_s == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("64KiB", 65536), ("2MiB", 2 * 1024**2), ("2 MiB", 2**21)]
)
def test_sizes(text: str, size: int) -> None:
    assert load({"max_message_size": text}, {}).settings.max_message_size == size


BAD = [
    ("retention", "60"),
    ("retention", "-1s"),
    ("retention", "1e3s"),
    ("retention", "721h"),
    ("retention", "x" * 300),
    ("beat_budget", "0"),
    ("beat_budget", "1.5"),
    ("beat_budget", "9" * 40),
    ("max_message_size", "1MB"),
    ("max_message_size", "1"),
    ("log_level", "loud"),
    ("insecure_listen", "perhaps"),
    ("listen", "127.0.0.1"),
    ("listen", "127.0.0.1:70000"),
    ("listen", "unix:"),
    ("listen", "unix:/" + "x" * 200),
    ("listen", ",".join(["127.0.0.1:1"] * 2)),
    ("listen", "http://127.0.0.1:1"),
    ("listen", "[::zz]:1"),
    ("keepalive_time", "1ms"),
    ("max_connections", "1000001"),
    ("zone_ready_share", "1.1"),
    ("zone_ready_share", "nan"),
    ("zone_ready_share", "most"),
    ("eject_base", "301s"),
    ("check_allow", "10.0.0.1/8"),
    ("check_allow", "example.com"),
    ("check_allow", ",".join(["10.0.0.0/8"] * 2)),
    ("check_runs", "0"),
    ("check_runs_per_target", "1001"),
    ("check_ca_file", "x" * 5_000),
    ("custom_checks", "disk"),
    ("custom_checks", "disk=ops"),
    ("custom_checks", "disk=ops:disk()"),
    ("custom_checks", "a b=ops:disk"),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_names_setting_rule_value_and_origin(name: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({}, {"ORION_" + name.upper(): text})
    line = str(caught.value)
    assert line.startswith(f"{name}: must be ")
    assert line.endswith(f"from environment ORION_{name.upper()}")
    assert "…" in line if len(text) > 100 else text.split(",", 1)[0] in line
    assert "\n" not in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        (("127.0.0.1:1", "foo"), "HOST:PORT (port 0 to 65,535) or unix:PATH (at most 107 bytes), got 'foo'"),
        (("127.0.0.1:1", "a:2", "a:2"), "different addresses, got 'a:2' twice"),
        (tuple(f"a:{port}" for port in range(17)), "1 to 16 addresses, got 17"),
    ],
)
def test_of_many_addresses_the_bad_one_is_named(listen: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({"listen": listen}, {})
    assert str(caught.value) == f"listen: must be {complaint} from flag --listen"


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("custom_checks", ("disk=ops:disk", "disk=ops:other"), "different names, got 'disk' twice"),
        ("check_allow", ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"), "different networks, got '10.0.0.0/8' twice"),
        ("check_allow", tuple(f"10.0.0.{last}" for last in range(65)), "0 to 64 networks, got 65"),
    ],
)
def test_of_several_the_bad_one_is_named(name: str, values: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({name: values}, {})
    assert str(caught.value) == f"{name}: must be {complaint} from flag --{name.replace('_', '-')}"


def test_wrong_toml_types_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "orion.toml"
    for line in (
        "retention = 60",
        "beat_budget = true",
        "listen = 5",
        "listen = [5]",
        "insecure_listen = 1",
        "log_level = []",
    ):
        file.write_text(line + "\n")
        with pytest.raises(SettingError) as caught:
            load({}, {}, str(file))
        assert str(caught.value).endswith(f"from file {file}")


def test_more_connections_than_open_files_are_refused() -> None:
    with pytest.raises(SettingError, match="the limit of open files is"):
        Settings(max_connections=min(1_000_000, most_connections() + 1))
    assert Settings().max_connections == most_connections()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("retentoin = '1s'", "did you mean retention?"),
        ("max-connections = 5", "did you mean max_connections?"),
        ("zzz = 1", "known are listen, "),
        ("[server]\nlisten = []", "unknown setting 'server'"),
        ("retention =", "is not valid TOML"),
        ("retention = " + "9" * 5_000, "is not valid TOML"),
        ("\xff", "is not valid TOML"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "orion.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(StartError) as caught:
        load({}, {}, str(file))
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("shape", ["{}", "[{}]"])
@pytest.mark.parametrize("name", [row.name for row in TABLE])
def test_a_number_that_cannot_be_written_out_is_a_mistake_as_any_other(tmp_path: Path, name: str, shape: str) -> None:
    """TOML's hexadecimal numbers have no bound, while Python writes none of more than 4,300 digits."""
    file = tmp_path / "orion.toml"
    file.write_text(f"{name} = {shape.format('0x' + 'f' * 5_000)}\n")
    with pytest.raises(StartError) as caught:
        load({}, {}, str(file))
    assert name in str(caught.value)
    assert str(file) in str(caught.value)


def test_print_config_is_toml_that_gives_the_same_settings(tmp_path: Path) -> None:
    odd = load(
        {"listen": ('unix:/tmp/a"b\\c d',), "retention": "500ms", "max_message_size": "65537", "insecure_listen": "on"},
        {},
    )
    file = tmp_path / 'o"\n.toml'
    file.write_text(print_config(odd))
    again = load({}, {}, str(file))
    assert again.settings == odd.settings
    assert set(tomllib.loads(print_config(again))) == {row.name for row in TABLE}


def test_print_config_exits_0_and_tells_origins() -> None:
    result = run_serve("--print-config", "--retention", "90s", ORION_BEAT_BUDGET="5")
    assert (result.returncode, result.stderr) == (0, "")
    assert 'retention = "90s"  # flag --retention\n' in result.stdout
    assert "beat_budget = 5  # environment ORION_BEAT_BUDGET\n" in result.stdout
    assert 'listen = ["127.0.0.1:6746"]  # default\n' in result.stdout


def test_every_setting_is_a_flag_with_its_default_in_help() -> None:
    result = run_serve("--help")
    text = " ".join(result.stdout.split())
    assert result.returncode == 0
    for row in TABLE:
        assert row.flag in text
        assert f"[default: {row.default_text}]" in text
    assert "Examples:" in text


def test_documentation_is_the_table() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert BEGIN in page
    assert END in page
    assert insert(page) == page, "run: python -m orion_registry.cli.settings_table docs/configuration.md"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--retention", "x"), "retention: must be a span"),
        (("--config", "/nowhere/orion.toml"), "cannot read the configuration file /nowhere/orion.toml: no such file"),
        (("--config", "/"), "cannot read the configuration file /: is a directory"),
        (("--listen", "foo"), "got 'foo' from flag --listen"),
        (
            ("--listen", "0.0.0.0:0"),
            "listen: must be on loopback or a Unix socket, unless callers prove who they are over TLS",
        ),
        (("--listen", "no.such.host.invalid:1"), "the host no.such.host.invalid of no.such.host.invalid:1 is unknown"),
        (("--listen", "192.0.2.1:0", "--insecure-listen"), "192.0.2.1 is not an address of this machine"),
        (("--listen", "unix:/nowhere/x.sock"), "cannot listen on unix:/nowhere/x.sock"),
    ],
)
def test_what_cannot_start_says_so_in_one_line_and_exits_2(arguments: tuple[str, ...], expected: str) -> None:
    result = run_serve(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--no-such-flag", "No such option"),
        ("surplus", "unexpected extra argument"),
        ("--retention", "requires an argument"),
    ],
)
def test_wrong_usage_is_told_in_one_line(argument: str, expected: str) -> None:
    assert expected in failed(2, "serve", argument)


def test_a_refused_listen_says_where_it_came_from() -> None:
    result = run_serve(ORION_LISTEN="0.0.0.0:0")
    assert json.loads(result.stderr)["message"].endswith("got '0.0.0.0:0' from environment ORION_LISTEN")


def test_plaintext_beyond_loopback_by_name() -> None:
    assert load({"insecure_listen": True, "listen": ("0.0.0.0:0",)}, {}).settings.insecure_listen


@pytest.mark.parametrize(
    ("profile", "spans"),
    [
        ("lan", (1.2, 1.5, 3.0, 10.0, 60.0)),
        ("wan", (1.2, 5.0, 8.0, 10.0, 60.0)),
        ("dev", (600.0, 600.0, 600.0, 0.0, 0.0)),
    ],
)
def test_a_profile_gives_defaults(profile: str, spans: tuple[float, ...]) -> None:
    settings = Settings(profile=profile)
    fields = ("keepalive_time_s", "ping_timeout_s", "silence_floor_s", "probation_s", "retention_s")
    assert tuple(getattr(settings, name) for name in fields) == spans


def test_what_is_set_by_itself_wins_over_the_profile_and_origins_tell(tmp_path: Path) -> None:
    file = tmp_path / "orion.toml"
    file.write_text('profile = "wan"\n')
    loaded = load({"silence_floor": "4s"}, {"ORION_PROBATION": "1m"}, str(file))
    settings = loaded.settings
    assert (settings.silence_floor_s, settings.probation_s, settings.ping_timeout_s) == (4.0, 60.0, 5.0)
    origins = [loaded.origins[name] for name in ("profile", "silence_floor", "probation", "ping_timeout", "log_level")]
    assert origins == [f"file {file}", "flag --silence-floor", "environment ORION_PROBATION", "profile wan", "default"]
    assert 'ping_timeout = "5s"  # profile wan\n' in print_config(loaded)


def test_a_profile_that_is_none_is_named() -> None:
    with pytest.raises(SettingError, match=r"profile: must be one of lan, wan, dev, got 'moon' from flag --profile"):
        load({"profile": "moon"}, {})
