"""The configuration: layers and who wins, what is refused and where, changes while calls run."""

import logging
import threading
import time

import pytest

from aikit.config import Config, ProviderConfig
from aikit.errors import ConfigError, UnknownProvider, UnknownSetting


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        (tmp_path / "aikit.toml").write_text(text)
        return tmp_path

    return write


def load(start, environ=None, **config):
    return Config.load(start=start, environ=environ or {}, **config)


# -- layers


def test_without_a_file_everything_has_a_default(tmp_path):
    config = load(tmp_path)
    assert config.settings.defaults.model == "local:smollm2"
    assert config.settings.budgets.max_tokens == 4096
    assert config.home == tmp_path / ".aikit"
    assert config.file is None


def test_the_file_is_found_upwards_and_home_lies_beside_it(write):
    start = write('[defaults]\nmodel = "openai:gpt-5"\n')
    inner = start / "a" / "b"
    inner.mkdir(parents=True)
    config = load(inner)
    assert config.settings.defaults.model == "openai:gpt-5"
    assert config.home == start / ".aikit"


def test_home_is_the_argument_then_the_variable_then_the_setting(write, tmp_path):
    start = write('[log]\nhome = "data/log"\n')
    assert load(start).home == start / "data" / "log"
    assert load(start, {"AIKIT_HOME": str(tmp_path / "x")}).home == tmp_path / "x"
    assert load(start, {"AIKIT_HOME": "/nowhere"}, home=tmp_path / "y").home == tmp_path / "y"


LAYERED = """
[providers.openai.timeouts]
connect = 1
progress = 1
total = 1
[env.production.providers.openai.timeouts]
progress = 2
total = 2
"""


def test_a_later_layer_wins_setting_by_setting(write):
    config = load(
        write(LAYERED),
        {"AIKIT_ENV": "production", "AIKIT_PROVIDERS__OPENAI__TIMEOUTS__TOTAL": "3"},
        overrides={"providers": {"openai": {"default_model": "gpt-5"}}},
    )
    openai = config.settings.providers["openai"]
    assert (openai.timeouts.connect, openai.timeouts.progress, openai.timeouts.total) == (1, 2, 3)
    assert (openai.kind, openai.base_url, openai.default_model) == ("openai", "https://api.openai.com/v1", "gpt-5")
    config.configure({"providers.openai.timeouts.total": 4})
    assert config.settings.providers["openai"].timeouts.total == 4


def test_explain_says_which_layer_won_and_what_it_won_over(write):
    config = load(
        write(LAYERED), {"AIKIT_ENV": "production"}, overrides={"providers": {"openai": {"timeouts": {"total": 9}}}}
    )
    told = config.explain("providers.openai.timeouts.total")
    assert (told.value, told.layer) == (9, "arguments")
    assert [(one.layer, one.value, one.place) for one in told.overridden] == [
        ("aikit.toml [env.production]", 2, "aikit.toml, line 8"),
        ("aikit.toml", 1, "aikit.toml, line 5"),
    ]
    assert "line 8" in repr(told)
    assert config.explain("providers.anthropic.timeouts.total").layer == "default"


def test_explaining_what_does_not_exist_names_what_is_near(write):
    with pytest.raises(UnknownSetting, match="did you mean 'progress'"):
        load(write(LAYERED)).explain("providers.openai.timeouts.progres")


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("AIKIT_DEFAULTS__MODEL", "ollama:x:y", "defaults.model", "ollama:x:y"),
        ("AIKIT_BUDGETS__ALERT_AT", "[0.1, 0.2]", "budgets.alert_at", (0.1, 0.2)),
        ("AIKIT_BUDGETS__HARD", "false", "budgets.hard", False),
        ("AIKIT_PROVIDERS__LM__BASE_URL", "http://127.0.0.1:1/v1/", "providers.lm.base_url", "http://127.0.0.1:1/v1"),
        ("AIKIT_PROVIDERS__OPENAI__RATE_LIMITS__CONCURRENT", "7", "providers.openai.rate_limits.concurrent", 7),
    ],
)
def test_variables_are_read_by_the_type_of_their_setting(tmp_path, variable, value, path, expected):
    config = load(tmp_path, {variable: value})
    assert config.explain(path).value == expected
    assert config.explain(path).layer == "environment"


def test_settings_objects_of_the_code_count_as_what_they_set(write):
    def reply(prompt):
        return prompt

    given = ProviderConfig(kind="scripted", options={"reply": reply})
    config = load(
        write('[providers.fake]\nkind = "scripted"\ndefault_model = "m"\n'), overrides={"providers": {"fake": given}}
    )
    assert config.settings.providers["fake"].options["reply"] is reply
    assert config.settings.providers["fake"].default_model == "m"


def test_built_in_providers_exist_when_named(tmp_path):
    settings = load(tmp_path).settings
    assert settings.provider("anthropic").base_url == "https://api.anthropic.com"
    assert settings.provider("local").kind == "local"
    with pytest.raises(UnknownProvider, match="no provider 'opnai'; did you mean 'openai'"):
        settings.provider("opnai")


# -- what is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[defaults]\nmodle = 'x'", "aikit.toml, line 2: defaults.modle: unknown setting; did you mean 'model'?"),
        ("\n\n[provider.x]", "aikit.toml, line 3: provider: unknown setting; did you mean 'providers'?"),
        (
            "[providers.openai]\n\ntimeouts = {progres = 3}",
            "line 3: providers.openai.timeouts.progres: unknown setting",
        ),
        (
            "[providers.openai]\nrate_limits.concurrent = -1",
            "line 2: providers.openai.rate_limits.concurrent: input should be",
        ),
        ("[providers.openai]\nrate_limits.concurrent = 'x'", "valid integer"),
        ("[providers.openai]\nrate_limits.requests_per_minute = 1.5", "valid integer"),
        ("[providers.openai]\nrate_limits.concurrent = true", "a number is meant"),
        ("[providers.openai.timeouts]\ntotal = nan", "line 2: providers.openai.timeouts.total"),
        ("[providers.openai]\nbase_url = 'http://example.com/v1'", "would send key and prompts unencrypted"),
        ("[providers.openai]\nbase_url = 'ftp://example.com'", "is not an http(s) address"),
        ("[providers.openai]\nbase_url = 'https://me:pw@example.com'", "holds no user or password"),
        ("[providers.lab]", "line 1: providers.lab: 'lab' is no built-in provider: it needs a base_url"),
        ("[providers.lab]\nkind = 'opnai'", "no kind of provider 'opnai'; did you mean 'openai'"),
        ("[providers.'a b']\nkind = 'openai'", 'providers."a b"'),
        ("[providers.openai]\nheaders = {'X-A' = \"a\\nb\"}", "holds a line break"),
        ("[providers.openai]\nprices.x = {input = -1}", "line 2: providers.openai.prices.x.input"),
        ("[providers.openai]\nprices.x = {inptu = 1}", "did you mean 'input'"),
        ("[budgets]\ndaily = -2", "line 2: budgets.daily"),
        ("[budgets]\ntimezone = 'Europe/Berlim'", "no time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'"),
        ("[log]\ndurability = 'maybe'", "line 2: log.durability"),
        ("[defaults\nmodel = 1", "line 1"),
        ("[env]\nproduction = 3", "an overlay is a table"),
        ("[env.a.defaults]\nmodle = 'x'", "line 2: defaults.modle"),
        ("providers = 3", "line 1: providers"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_a_way_out(write, text, said):
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["\x1b[2J", "a\u202eb", "<script>", "../x", "a b", "x" * 200, "", "é"])
def test_a_hostile_provider_name_is_refused_and_shown_harmlessly(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, overrides={"providers": {"a": {"kind": "openai"}, f'"{name}"': {"kind": "openai"}}})
    assert "\x1b" not in str(caught.value) and "\u202e" not in str(caught.value)


def test_all_problems_are_told_at_once(write):
    with pytest.raises(ConfigError) as caught:
        load(write("[budgets]\ndaily = -2\nweekly = 'x'\n[log]\nhom = 'x'"))
    assert len(str(caught.value).splitlines()) == 3


def test_an_unknown_overlay_and_an_unknown_section_are_refused(write):
    with pytest.raises(ConfigError, match=r"no \[env.prod\]; did you mean 'prd'"):
        load(write("[env.prd.defaults]\nmodel = 'x'"), {"AIKIT_ENV": "prod"})
    with pytest.raises(UnknownSetting, match="did you mean 'defaults'"):
        load(write(""), {"AIKIT_DEFUALTS__MODEL": "x"})
    with pytest.raises(ConfigError, match=r"AIKIT_BUDGETS__DAILY: budgets\.daily"):
        load(write(""), {"AIKIT_BUDGETS__DAILY": "much"})


def test_a_provider_built_in_code_is_checked_when_it_is_built():
    with pytest.raises(UnknownSetting, match="did you mean 'timeouts'"):
        ProviderConfig(kind="openai", tineouts={})
    with pytest.raises(ConfigError, match="should be greater than 0"):
        ProviderConfig(kind="openai", timeouts={"connect": 0})


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "aikit.toml").write_bytes(b"\xff\xfe[defaults]")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path)


def test_lines_are_found_in_every_spelling_of_toml(write):
    text = '''# [defaults]
title = 3
[providers.openai]
headers = { "X-A" = "]", 'X-B' = """
[budgets]
""" }
api_key = [
  "k1",   # first
  { key = "k2", wieght = 2 },
]
"timeouts".'total' = -1
'''
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    lines = str(caught.value).splitlines()
    assert any(line.startswith("aikit.toml, line 2: title") for line in lines)
    assert any("line 9: providers.openai.api_key.1.wieght" in line for line in lines)
    assert any("line 11: providers.openai.timeouts.total" in line for line in lines)


# -- changes while calls run


def test_a_changed_file_is_noticed_within_a_second_and_swapped_whole(write, caplog):
    clock = Clock()
    start = write("[providers.openai.timeouts]\nprogress = 10\n")
    config = load(start, clock=clock)
    told = []
    config.on_change(told.extend)
    held = config.settings
    write("[providers.openai.timeouts]\nprogress = 20\n")
    clock.now = 0.9
    assert config.settings is held
    clock.now = 1.1
    with caplog.at_level(logging.INFO, "aikit.config"):
        assert config.settings.providers["openai"].timeouts.progress == 20
    assert held.providers["openai"].timeouts.progress == 10
    assert [(one.path, one.old, one.new, one.layer) for one in told] == [
        ("providers.openai.timeouts.progress", "10.0", "20.0", "aikit.toml")
    ]
    assert "10.0 → 20.0" in caplog.text


def test_an_invalid_file_keeps_the_old_settings_and_says_why_once(write, caplog):
    clock = Clock()
    start = write("[defaults]\nmodel = 'openai:a'\n")
    config = load(start, clock=clock)
    write("[defaults]\nmodle = 'openai:b'\n")
    for second in range(2, 8):
        clock.now = second
        assert config.settings.defaults.model == "openai:a"
    assert caplog.text.count("modle") == 1
    assert "line 2" in (config.problem or "")
    write("[defaults]\nmodel = 'openai:c'\n")
    clock.now = 10
    assert config.settings.defaults.model == "openai:c"
    assert config.problem is None


def test_a_file_that_goes_or_comes_is_noticed(write, tmp_path):
    clock = Clock()
    config = load(tmp_path, clock=clock)
    write("[defaults]\nmodel = 'openai:a'\n")
    clock.now = 2
    assert config.settings.defaults.model == "openai:a"
    (tmp_path / "aikit.toml").unlink()
    clock.now = 4
    assert config.settings.defaults.model == "openai:a"
    assert "is gone" in (config.problem or "")


def test_a_change_at_run_time_is_whole_or_not_at_all(tmp_path):
    config = load(tmp_path)
    with pytest.raises(ConfigError, match=r"configure: budgets\.daily"):
        config.configure({"defaults.model": "openai:x", "budgets.daily": -1})
    assert config.settings.defaults.model == "local:smollm2"
    changes = config.configure({"defaults": {"model": "openai:x"}})
    assert [one.path for one in changes] == ["defaults.model"]


def test_settings_are_read_by_many_threads_while_they_change(write):
    start = write("[defaults]\nmodel = 'openai:0'\nwait_at_most = 1\n")
    config = load(start, clock=lambda: time.monotonic() * 1_000)
    torn: list[object] = []
    done = threading.Event()

    def read():
        while not done.is_set():
            defaults = config.settings.defaults
            if int(defaults.model.split(":")[1]) + 1 != defaults.wait_at_most:
                torn.append(defaults)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 30):
        temporary = start / "new"
        temporary.write_text(f"[defaults]\nmodel = 'openai:{number}'\nwait_at_most = {number + 1}\n")
        temporary.rename(start / "aikit.toml")
        time.sleep(0.005)
    done.set()
    for thread in threads:
        thread.join()
    assert not torn


def test_asking_for_the_settings_is_cheap(tmp_path):
    config = load(tmp_path)
    start = time.process_time()
    for _ in range(10_000):
        _ = config.settings
    assert (time.process_time() - start) / 10_000 < 10e-6
