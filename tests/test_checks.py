"""`aikit doctor` and `aikit init`: what is found, what to do next, and a template that is true."""

import json
import re
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from aikit import checks
from aikit.config import Config
from aikit.config.template import TEMPLATE
from aikit.errors import ConfigError


def found(folder, text="", environ=None, network=False, **files):
    (folder / "aikit.toml").write_text(text)
    config = Config.load(start=folder, environ=environ or {})
    return checks.check(config, network=network, keyring=lambda: None)


def about(findings, area, subject=""):
    return [one for one in findings if one.area == area and subject in one.subject]


def test_a_fresh_folder_has_no_problem(tmp_path):
    findings = checks.doctor(start=tmp_path, environ={}, network=False)
    assert checks.exit_code(findings) == 0
    assert {one.area for one in findings} >= {"settings", "models", "clock", "log", "versions", "disk"}
    assert about(findings, "settings", "aikit.toml")[0].advice == "`aikit init` writes one"


def test_each_invalid_setting_is_a_problem(tmp_path):
    (tmp_path / "aikit.toml").write_text("[budgets]\ndaily = -1\n[log]\nhom = 'x'\n")
    findings = checks.doctor(start=tmp_path, environ={}, network=False)
    assert [one.subject for one in about(findings, "settings")] == ["aikit.toml, line 2", "aikit.toml, line 4"]
    assert checks.exit_code(findings) == 1


def test_a_missing_key_and_an_open_env_file_are_problems(tmp_path):
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-canary\n")
    (tmp_path / ".env").chmod(0o644)
    findings = found(tmp_path, "[providers.openai]\n[providers.ollama]\n")
    assert about(findings, "files", ".env")[0].advice.startswith("chmod 600")
    assert about(findings, "keys", "openai")[0].state == "problem"
    assert about(findings, "keys", "ollama")[0].state == "ok"
    (tmp_path / ".env").unlink()
    assert "aikit keys set openai" in about(found(tmp_path, "[providers.openai]\n"), "keys", "openai")[0].detail


def test_a_hard_budget_without_a_price_is_a_problem(tmp_path):
    lab = "[providers.lab]\nbase_url = 'http://127.0.0.1:9/v1'\ndefault_model = 'mine'\n"
    assert about(found(tmp_path, lab), "models", "lab:mine")[0].state == "warning"
    limited = about(found(tmp_path, lab + "[budgets]\ndaily = 1\n"), "models", "lab:mine")[0]
    assert limited.state == "problem" and 'providers.lab.prices."mine"' in limited.advice
    priced = lab + "prices.mine = {input = 1, output = 2}\n[budgets]\ndaily = 1\n"
    assert about(found(tmp_path, priced), "models", "lab:mine")[0].state == "ok"


def test_a_key_in_a_file_that_others_read_is_warned_of(tmp_path):
    findings = found(tmp_path, "[providers.openai]\napi_key = 'sk-canary-0123'\n")
    assert about(findings, "files", "aikit.toml")[0].state == "warning"
    assert "canary" not in checks.as_json(findings) + checks.as_table(findings)


class Models(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers["Authorization"] == "Bearer sk-good" else 401)
        self.send_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()

    def date_time_string(self, timestamp=None):
        return "Thu, 01 Jan 2026 00:00:00 GMT"

    def log_message(self, *arguments):
        pass


def test_keys_are_tried_and_the_clock_is_compared(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), Models)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    text = "".join(
        f"[providers.{name}]\nbase_url = '{address}'\napi_key = '{key}'\n"
        for name, key in (("a", "sk-good"), ("b", "sk-bad"))
    )
    findings = found(tmp_path, text, network=True)
    server.shutdown()
    server.server_close()
    assert [one.state for one in about(findings, "keys", "a ")] == ["ok", "ok"]
    assert about(findings, "keys", "b ")[-1].advice == "aikit keys rotate b"
    assert about(findings, "clock", "offset")[0].state == "warning"


def test_the_table_shows_hostile_names_harmlessly():
    table = checks.as_table([checks.Finding("keys", "\x1b[2Jx", "problem", "a\nb\u202e", "do")])
    assert "\x1b" not in table and "\u202e" not in table
    assert "→ do" in table


def test_the_report_is_json():
    findings = [checks.Finding("disk", "/", "problem", "full")]
    told = json.loads(checks.as_json(findings))
    assert told["ok"] is False and told["findings"][0]["detail"] == "full"


def test_proxies_are_shown_without_their_password(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:canary@proxy.example:3128")
    shown = about(found(tmp_path), "network", "https proxy")[0]
    assert shown.detail == "proxy.example:3128"


def test_the_log_of_the_home_is_looked_at(tmp_path):
    from aikit.log import Log

    Log.open(tmp_path / ".aikit").close()
    assert [one.state for one in about(found(tmp_path), "log")] == ["ok"]


# -- aikit init


def test_init_writes_a_file_that_is_valid_and_private_and_never_replaces_one(tmp_path):
    assert "every setting is in it" in checks.init(tmp_path)
    assert (tmp_path / "aikit.toml").stat().st_mode & 0o777 == 0o600
    assert Config.load(start=tmp_path, environ={}).settings == Config.load(start=tmp_path.parent, environ={}).settings
    with pytest.raises(ConfigError, match="is there already"):
        checks.init(tmp_path)


def test_what_the_template_says_is_the_default_is_the_default(tmp_path):
    """Uncommented, each setting of the first sections says what holds anyway; the examples below them are valid."""
    said = re.sub(r"(?m)^# (?=[a-z\[])", "", TEMPLATE)
    said = said.replace("Settings of aikit.", "# ").replace('"gpt-5-mini"  ', '"gpt-5-mini"')
    lines = [line for line in said.splitlines() if re.match(r"^(\[|[a-z_]+(\.\S+)? = |$)", line)]
    (tmp_path / "aikit.toml").write_text("\n".join(lines))
    settings = Config.load(start=tmp_path, environ={"AIKIT_ENV": "production"}).settings
    assert settings.budgets.daily == 50
    assert settings.providers["openai"].rate_limits.tokens_per_minute == 200_000
    assert settings.providers["lab"].base_url == "http://127.0.0.1:8000/v1"
    empty = Config.load(start=tmp_path.parent, environ={}).settings
    assert settings.defaults == empty.defaults
    assert settings.log == empty.log.model_copy(update={"home": ".aikit"})
    assert settings.providers["openai"].timeouts == empty.provider("openai").timeouts
    unlimited = {"daily": None, "weekly": None, "monthly": None}
    assert settings.budgets.model_copy(update=unlimited) == empty.budgets
    assert set(tomllib.loads("\n".join(lines))["budgets"]) >= {"daily", "weekly", "monthly"}
