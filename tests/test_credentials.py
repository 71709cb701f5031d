"""The credentials: where a key is found and where it may go, rings, rotation, the keyring's commands."""

import json
import os
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product

import pytest

from aikit.config import ProviderConfig, Settings
from aikit.credentials import (
    Key,
    KeyRing,
    StoredKeys,
    find_keys,
    keys_list,
    keys_remove,
    keys_rotate,
    keys_set,
    keys_test,
    open_keyring,
)
from aikit.errors import CredentialError
from aikit.secret import Secret


class Memory:
    """A keyring in a dictionary."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service, username):
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password

    def delete_password(self, service, username):
        del self.entries[service, username]


def openai(**fields) -> ProviderConfig:
    return Settings(providers={"openai": fields}).providers["openai"]


def find(folder, config=None, environ=None, keyring=None, name="openai"):
    return find_keys(name, config or openai(), environ=environ or {}, folder=folder, keyring=lambda: keyring)


def env_file(folder, text, mode=0o600):
    path = folder / ".env"
    path.write_text(text)
    path.chmod(mode)


# -- where a key is found


def test_explicit_goes_before_environment_before_keyring_before_env_file(tmp_path):
    keyring = Memory()
    keys_set("openai", "sk-keyring", keyring=keyring)
    env_file(tmp_path, "OPENAI_API_KEY=sk-file")
    environ = {"OPENAI_API_KEY": "sk-environ"}
    assert find(tmp_path, openai(api_key="sk-explicit"), environ, keyring).pick().secret.reveal() == "sk-explicit"
    assert find(tmp_path, None, environ, keyring).pick().secret.reveal() == "sk-environ"
    assert find(tmp_path, None, {}, keyring).pick().secret.reveal() == "sk-keyring"
    found = find(tmp_path).pick()
    assert (found.secret.reveal(), found.origin, found.where) == (
        "sk-file",
        ".env",
        f"{tmp_path / '.env'}: OPENAI_API_KEY",
    )


def test_without_a_key_the_error_says_where_to_put_one(tmp_path):
    ring = find(tmp_path)
    assert len(ring) == 0
    with pytest.raises(CredentialError, match=r"aikit keys set openai.*OPENAI_API_KEY.*api_key under"):
        ring.pick()


def test_a_key_that_is_copied_with_blanks_is_stripped(tmp_path):
    assert find(tmp_path, None, {"OPENAI_API_KEY": " sk-a\r\n"}).pick().secret.reveal() == "sk-a"
    assert openai(api_key="sk-b\n").api_key.reveal() == "sk-b"


@pytest.mark.parametrize("bad", ["sk-canary a", "sk-canary\nb", "sk-canary\x00", "sk-cänary", "sk-canary\u2028x"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(tmp_path, bad):
    with pytest.raises(CredentialError) as caught:
        find(tmp_path, None, {"OPENAI_API_KEY": bad})
    assert "canary" not in str(caught.value) and caught.value.__context__ is None


def test_an_env_file_that_others_can_read_is_refused(tmp_path):
    env_file(tmp_path, "OPENAI_API_KEY=sk-file", mode=0o640)
    with pytest.raises(CredentialError, match=r"can be read by others .mode 0640.*chmod 600"):
        find(tmp_path)


def test_an_env_file_is_read_in_its_usual_spellings(tmp_path):
    env_file(
        tmp_path, "# OPENAI_API_KEY=no\nexport ANTHROPIC_API_KEY='a b'\n OPENAI_API_KEY = \"sk-q\" \nX=1 # y\nrubbish\n"
    )
    assert find(tmp_path).pick().secret.reveal() == "sk-q"


# -- where a key may go


def test_a_providers_own_variable_goes_to_its_own_address_only(tmp_path):
    proxy = openai(base_url="https://proxy.example/v1")
    ring = find(tmp_path, proxy, {"OPENAI_API_KEY": "sk-real"})
    with pytest.raises(CredentialError, match=r"OPENAI_API_KEY in the environment is for https://api.openai.com:443"):
        ring.pick()
    assert find(tmp_path, proxy, {"AIKIT_OPENAI_API_KEY": "sk-proxy"}).pick().secret.reveal() == "sk-proxy"


def test_a_key_in_the_keyring_goes_to_the_address_it_was_set_for(tmp_path):
    keyring = Memory()
    keys_set("openai", "sk-proxy", keyring=keyring, origin="https://proxy.example:443")
    assert len(find(tmp_path, None, {}, keyring)) == 0
    assert len(find(tmp_path, openai(base_url="https://proxy.example/v1"), {}, keyring)) == 1


def test_a_provider_that_sends_nothing_has_no_key(tmp_path):
    local = Settings(providers={"local": {}}).providers["local"]
    assert len(find(tmp_path, local, {"OPENAI_API_KEY": "sk-a"}, name="local")) == 0


def test_a_name_of_ones_own_has_a_variable_of_its_own(tmp_path):
    lab = Settings(providers={"my-lab": {"base_url": "https://lab.example/v1"}}).providers["my-lab"]
    environ = {"OPENAI_API_KEY": "sk-real", "MY_LAB_API_KEY": "sk-lab"}
    assert find(tmp_path, lab, environ, name="my-lab").pick().secret.reveal() == "sk-lab"


# -- rings


def ring_of(*keys: Key, **how) -> KeyRing:
    return KeyRing("openai", keys, random=random.Random(5), **how)


def key(name: str, **how) -> Key:
    return Key(name, Secret(f"sk-{name}"), **how)


def test_a_ring_picks_by_weight(tmp_path):
    ring = find(tmp_path, openai(api_key=[{"key": "sk-a", "weight": 3, "name": "a"}, "sk-b"]))
    names = Counter(ring.pick().name for _ in range(4_000))
    assert 2_800 < names["a"] < 3_200


def test_a_refused_key_rests_and_comes_back():
    now = [0.0]
    ring = ring_of(key("a"), key("b"), clock=lambda: now[0])
    ring.quarantine("a", "401")
    assert {ring.pick().id for _ in range(50)} == {"b"}
    assert [(one.id, one.state, one.reason) for one in ring.state()] == [
        ("a", "quarantined", "401"),
        ("b", "in use", ""),
    ]
    ring.quarantine("b", "401")
    with pytest.raises(CredentialError, match=r"no usable key left for openai .key a: 401; key b: 401"):
        ring.pick()
    now[0] = 301
    assert {ring.pick().id for _ in range(50)} == {"a", "b"}


def test_excluded_keys_are_not_picked():
    ring = ring_of(key("a"), key("b"))
    assert {ring.pick(exclude=("a",)).id for _ in range(20)} == {"b"}
    with pytest.raises(CredentialError, match="was tried"):
        ring.pick(exclude=("a", "b"))


def test_a_retiring_key_serves_only_where_no_other_can():
    wall = [100.0]
    ring = ring_of(key("new"), key("old", retires_at=200.0), wall=lambda: wall[0])
    assert {ring.pick().id for _ in range(20)} == {"new"}
    ring.quarantine("new", "not active yet")
    assert ring.pick().id == "old"
    wall[0] = 201
    with pytest.raises(CredentialError):
        ring.pick()


def test_a_key_rotated_elsewhere_is_found_when_the_old_one_is_refused(tmp_path):
    keyring = Memory()
    keys_set("openai", "sk-old", keyring=keyring)
    ring = find(tmp_path, None, {}, keyring)
    held = ring.pick()
    keys_rotate("openai", "sk-new", keyring=keyring, overlap=0)
    assert ring.pick().id == held.id  # nothing has happened yet
    ring.quarantine(held.id, "401")
    assert ring.pick().secret.reveal() == "sk-new"


def test_rotation_while_calls_run_fails_none(tmp_path):
    """The server takes a key for five rotations; a call that is refused tries one other key, as the guard does."""
    keyring = Memory()
    keys_set("openai", "sk-0", keyring=keyring)
    ring = find(tmp_path, None, {}, keyring)
    valid = {"sk-0"}
    failed: list[str] = []
    done = threading.Event()

    def call():
        while not done.is_set():
            first = ring.pick()
            if first.secret.reveal() in valid:
                continue
            ring.quarantine(first.id, "401")
            if ring.pick(exclude=(first.id,)).secret.reveal() not in valid:
                failed.append(first.id)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 30):
        valid.add(f"sk-{number}")
        keys_rotate("openai", f"sk-{number}", keyring=keyring)
        valid.discard(f"sk-{number - 5}")
        time.sleep(0.005)
    done.set()
    for thread in threads:
        thread.join()
    assert not failed


# -- the keyring's commands


def test_keys_are_set_listed_rotated_and_removed_without_being_shown(tmp_path):
    keyring = Memory()
    first = keys_set("openai", "sk-canary-1\n", keyring=keyring, name="team")
    second = keys_set("openai", "sk-canary-2", keyring=keyring, weight=2, add=True)
    rows = keys_list({"openai": openai()}, environ={}, folder=tmp_path, keyring=lambda: keyring)
    assert [(one.id, one.name, one.weight, one.origin) for one in rows] == [
        (first, "team", 1.0, "keyring"),
        (second, "", 2.0, "keyring"),
    ]
    assert "canary" not in repr(rows)
    third = keys_rotate("openai", "sk-canary-3", keyring=keyring, overlap=60)
    assert {one.secret.id for one in StoredKeys(keyring).of("openai")} == {first, second, third}
    assert keys_remove("openai", keyring=keyring, key_id="team") == 2  # the rotated key took the name over
    with pytest.raises(CredentialError, match="no key 'x' of openai"):
        keys_remove("openai", keyring=keyring, key_id="x")
    assert keys_remove("openai", keyring=keyring) == 1
    assert keyring.entries == {}


def test_an_old_key_is_forgotten_when_its_overlap_is_over():
    now = [1_000.0]
    stored = StoredKeys(Memory(), wall=lambda: now[0])
    stored.set("openai", "sk-a")
    stored.rotate("openai", "sk-b", overlap=10)
    assert len(stored.of("openai")) == 2
    now[0] = 1_011
    assert [one.secret.reveal() for one in stored.of("openai")] == ["sk-b"]


def test_an_entry_that_is_not_ours_is_told(tmp_path):
    keyring = Memory()
    keyring.set_password("aikit", "openai", "sk-somebody-elses-canary")
    with pytest.raises(CredentialError) as caught:
        StoredKeys(keyring).of("openai")
    assert "canary" not in str(caught.value)
    env_file(tmp_path, "OPENAI_API_KEY=sk-file")
    assert find(tmp_path, None, {}, keyring).pick().origin == ".env"  # a broken keyring hides nothing


def test_without_a_system_keyring_keys_lie_in_an_encrypted_file(tmp_path):
    pytest.importorskip("keyrings.cryptfile")
    environ = {"AIKIT_KEYRING_KEY": "a passphrase"}
    keyring = open_keyring(environ, folder=tmp_path)
    if type(keyring).__name__ != "CryptFileKeyring":
        pytest.skip("this machine has a system keyring")
    keys_set("openai", "sk-canary-in-a-file", keyring=keyring)
    again = open_keyring(environ, folder=tmp_path)
    assert StoredKeys(again).of("openai")[0].secret.reveal() == "sk-canary-in-a-file"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and all(b"canary" not in path.read_bytes() for path in written)
    assert all(path.stat().st_mode & 0o077 == 0 for path in written) or os.name != "posix"
    with pytest.raises(CredentialError, match="passphrase does not open"):
        open_keyring({"AIKIT_KEYRING_KEY": "another"}, folder=tmp_path)
    assert open_keyring({}, folder=tmp_path) is None
    asked: list[str] = []
    assert open_keyring({}, folder=tmp_path, ask=lambda text: asked.append(text) or "a passphrase") is not None
    assert len(asked) == 1


class Judge(BaseHTTPRequestHandler):
    """Knows one key; sends another one elsewhere."""

    seen: list[str] = []

    def do_GET(self):
        key = self.headers.get("x-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.seen.append(f"{self.path} {key}")
        status = {"sk-good": 200, "sk-wandering": 302, "sk-busy": 429, "sk-ill": 500}.get(key, 401)
        self.send_response(status)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def judge():
    server = HTTPServer(("127.0.0.1", 0), Judge)
    Judge.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_key_is_tested_by_the_list_of_models(judge):
    outcomes = {
        (kind, secret): keys_test(kind, "x", judge + ("/v1" if kind == "openai" else ""), key(secret)).outcome
        for kind, secret in product(("openai", "anthropic"), ("good", "bad", "busy", "ill", "wandering"))
    }
    assert {secret: outcome for (_, secret), outcome in outcomes.items()} == {
        "good": "accepted",
        "bad": "refused",
        "busy": "accepted",
        "ill": "unreachable",
        "wandering": "not tested",
    }
    assert {one.split()[0] for one in Judge.seen} == {"/v1/models"}  # no redirect was followed


def test_a_server_that_is_not_there_is_unreachable():
    told = keys_test("openai", "x", "http://127.0.0.1:9/v1", key("canary-long-enough"), timeout=2)
    assert told.outcome == "unreachable" and "canary" not in json.dumps(told.detail)
