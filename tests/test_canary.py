"""A canary key goes through everything that handles one here, and appears nowhere."""

import asyncio
import contextlib
import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback

import pytest

from aikit.config import Config, ProviderConfig
from aikit.credentials import Key, KeyRing, StoredKeys, find_keys
from aikit.errors import AikitError, ConfigError, CredentialError
from aikit.secret import MASK, Scrubber, Secret, is_secret_name

CANARY = "sk-canary-4f1d8a2b7c"


def everything(value: object) -> str:
    """Return all that the usual ways of looking at an object show."""
    shown = [repr(value), str(value), f"{value}", f"{value!r}"]
    for look in (vars, dir, dataclasses.asdict, copy.deepcopy, list, dict):
        try:
            shown.append(repr(look(value)))  # type: ignore[operator]
        except TypeError:
            continue
    with contextlib.suppress(TypeError, ValueError):
        shown.append(json.dumps(value, default=lambda one: getattr(one, "__dict__", repr(one))))
    for name in dir(value):
        if not name.startswith("__"):
            shown.append(repr(getattr(value, name, None)))
    return "\n".join(shown)


def test_a_secret_shows_itself_only_when_asked():
    secret = Secret(CANARY)
    assert CANARY not in everything(secret)
    assert secret.reveal() == CANARY
    assert (secret == Secret(CANARY), secret == Secret("x"), len(secret), bool(Secret(""))) == (True, False, 20, False)
    assert copy.deepcopy(secret) is secret
    assert CANARY not in secret.id and len(secret.id) == 8
    with pytest.raises(AttributeError):
        secret.reveal = lambda: "x"  # type: ignore[method-assign]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "holder",
    [
        Secret(CANARY),
        Key("id", Secret(CANARY)),
        ProviderConfig(kind="openai", api_key=CANARY),
        ProviderConfig(kind="openai", api_key=[CANARY]),
    ],
    ids=["secret", "key", "provider", "ring"],
)
def test_pickling_a_key_is_refused(holder, protocol):
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(holder, protocol)


def test_settings_and_rings_do_not_show_their_keys(tmp_path):
    config = Config.load(start=tmp_path, environ={}, overrides={"providers": {"openai": {"api_key": CANARY}}})
    provider = config.settings.providers["openai"]
    ring = find_keys("openai", provider, environ={}, folder=tmp_path)
    for holder in (
        config.settings,
        provider,
        config,
        ring,
        ring.pick(),
        ring.state(),
        config.explain("providers.openai"),
    ):
        assert CANARY not in everything(holder)
    for dumped in (provider.model_dump_json(), repr(provider.model_dump()), config.settings.model_dump_json()):
        assert CANARY not in dumped and (MASK in dumped)
    changes = config.configure({"providers.openai.api_key": CANARY + "-2"})
    assert len(changes) == 1 and CANARY not in repr(changes) and "key " in changes[0].new


def test_a_secret_header_is_masked_in_explanations(tmp_path):
    overrides = {"providers": {"openai": {"headers": {"X-Api-Key": CANARY, "X-Team": "blue"}}}}
    config = Config.load(start=tmp_path, environ={}, overrides=overrides)
    assert CANARY not in repr(config.settings) + config.settings.model_dump_json()
    assert config.explain("providers.openai.headers").value == {"X-Api-Key": MASK, "X-Team": "blue"}
    assert is_secret_name("Authorization") and not is_secret_name("max_tokens")


BROKEN_FILES = [
    f'[providers.openai]\napi_key = "{CANARY}"\nbase_url = "http://example.com"\n',
    f'[providers.openai]\napi_key = "{CANARY} x"\n',
    f'[providers.openai]\napi_key = "{CANARY}\n',
    f'[providers.openai]\napi_keys = "{CANARY}"\n',
    f'[providers.openai]\napi_key = {{ key = "{CANARY}" }}\n',
    f'[providers.openai]\napi_key = [{{ kye = "{CANARY}" }}]\n',
    f'[providers]\nopenai = "{CANARY}"\n',
    f'[providers.openai]\napi_key = "{CANARY}"\ntimeouts = "{CANARY}"\n',
]


def told(error: BaseException) -> str:
    """Return a traceback with causes, contexts and the arguments of every exception in it."""
    text = io.StringIO()
    traceback.print_exception(error, file=text)
    one: BaseException | None = error
    while one is not None:
        text.write(repr(one.args) + repr(vars(one)))
        one = one.__cause__ or one.__context__
    return text.getvalue()


@pytest.mark.parametrize("text", BROKEN_FILES)
def test_no_error_of_the_settings_shows_a_key(tmp_path, text, caplog):
    (tmp_path / "aikit.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Config.load(start=tmp_path, environ={})
    assert CANARY not in told(caught.value)


def test_a_reload_that_fails_logs_no_key(tmp_path, caplog):
    now = [0.0]
    (tmp_path / "aikit.toml").write_text("")
    config = Config.load(start=tmp_path, environ={}, clock=lambda: now[0])
    with caplog.at_level(logging.DEBUG):
        for number, text in enumerate(BROKEN_FILES, start=1):
            (tmp_path / "aikit.toml").write_text(text)
            now[0] = number * 2
            _ = config.settings
            assert CANARY not in (config.problem or "-")
    assert caplog.text and CANARY not in caplog.text


@pytest.mark.parametrize(
    "fields", [{"api_key": CANARY, "tiemouts": {}}, {"api_key": f"{CANARY}\n x"}, {"api_key": CANARY, "headers": 3}]
)
def test_no_error_of_a_provider_built_in_code_shows_its_key(fields):
    with pytest.raises(ConfigError) as caught:
        ProviderConfig(kind="openai", **fields)
    assert CANARY not in told(caught.value).replace(repr(fields), "")


def test_no_error_of_the_variables_shows_a_key(tmp_path):
    for environ in (
        {"OPENAI_API_KEY": f"{CANARY} x"},
        {"AIKIT_PROVIDERS__OPENAI__API_KEY": f"{CANARY} x"},
        {"AIKIT_PROVIDERS__OPENAI": CANARY},
    ):
        with pytest.raises(AikitError) as caught:
            config = Config.load(start=tmp_path, environ=environ)
            find_keys("openai", config.settings.provider("openai"), environ=environ, folder=tmp_path).pick()
        assert CANARY not in told(caught.value)


def test_no_error_of_a_keyring_shows_a_key():
    class Broken:
        def get_password(self, service, username):
            return json.dumps({"keys": [{"key": CANARY, "rubbish": 1}]})

        def set_password(self, service, username, password):
            raise OSError(f"can't write {password}")

        delete_password = get_password

    with pytest.raises(CredentialError) as caught:
        StoredKeys(Broken()).of("openai")
    assert CANARY not in told(caught.value)


def test_a_scrubber_takes_keys_out_of_texts_exceptions_and_logs():
    scrubber = Scrubber([Secret(CANARY + "/+"), Secret("short")])
    assert scrubber.text(f"a {CANARY}/+ b {CANARY}%2F%2B short") == f"a {MASK} b {MASK} short"
    try:
        try:
            raise ValueError(f"header {CANARY}/+")
        except ValueError as inner:
            raise ExceptionGroup("two", [RuntimeError(f"x{CANARY}/+"), KeyError(3)]) from inner
    except ExceptionGroup as group:
        group.add_note("safe")
        scrubber.exception(group)
        assert CANARY not in told(group)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(scrubber.log_filter())
    logger = logging.getLogger("canary")
    logger.addHandler(handler)
    logger.error("sending %s", {"Authorization": f"Bearer {CANARY}/+"})
    logger.removeHandler(handler)
    assert CANARY not in stream.getvalue() and MASK in stream.getvalue()
    assert CANARY not in everything(scrubber)


def test_a_ring_that_is_used_by_tasks_shows_no_key_in_their_errors():
    ring = KeyRing("openai", [Key("a", Secret(CANARY))])

    async def call():
        key = ring.pick()
        ring.quarantine(key.id, "401")
        return ring.pick()

    with pytest.raises(CredentialError) as caught:
        asyncio.run(call())
    assert CANARY not in told(caught.value)
