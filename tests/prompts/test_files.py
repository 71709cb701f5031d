import pathlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aikit.errors import PromptError
from aikit.messages import Message
from aikit.prompts import PromptVersion
from aikit.prompts.head import read_head, write_head
from aikit.prompts.markdown import from_markdown, to_markdown
from aikit.prompts.names import file_name

HOSTILE = [
    "plain",
    "ends with newlines\n\n",
    "\n\nstarts with them",
    "## user\n\\## user\n\\\\## system",
    "---\nname: evil\n---\n",
    "carriage\r\nreturn\r",
    "NUL \0 and \x1b[31m",
    "lone \ud800 surrogate \udfff",
    "\u202eright to left\u2066",
    "\ufeffbyte order mark",
    "{{ text }} {# comment #}",
    "line\u2028separator\x85",
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_goes_out_and_comes_back_as_it_was(prompts, other_prompts, tmp_path, text):
    raw = "{% raw %}" + text + "{% endraw %}" if "{#" in text else text
    prompts.save("one", raw, message=text[:100])
    prompts.save("two", [("system", raw), ("user", raw), ("assistant", ""), ("user", raw)])
    prompts.export(tmp_path / "out")
    loaded = {version.name: version for version in other_prompts.load(tmp_path / "out")}
    for name in ("one", "two"):
        assert loaded[name].template == prompts[name].template
        assert loaded[name].hash == prompts[name].hash
    assert loaded["one"].message == text[:100]


NAMES = [
    "../../etc/passwd",
    "/abs",
    "C:\\x",
    "con",
    "CON",
    "a/b",
    "A/B",
    "a:b",
    ".",
    "..",
    "Classify",
    "classify",
    "é" * 100,
]


def test_hostile_names_stay_inside_the_folder_and_apart_on_every_file_system(prompts, other_prompts, tmp_path):
    for number, name in enumerate(NAMES):
        prompts.save(name, f"template {number}")
    paths = prompts.export(tmp_path / "out")
    assert {path.parent for path in paths} == {tmp_path / "out"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "prompts.sqlite"] or (tmp_path / "out").is_dir()
    assert len({path.name.lower() for path in paths}) == len(NAMES)
    other_prompts.load(tmp_path / "out")
    assert set(other_prompts) == set(prompts)
    for name in prompts:
        assert other_prompts[name].template == prompts[name].template


@given(st.text(min_size=1, max_size=50))
def test_a_file_name_is_short_and_plain(name):
    allowed = set(string.ascii_lowercase + string.digits + "-_.")
    written = file_name(name.encode("utf-8", "replace").decode())
    assert set(written) <= allowed and len(written) <= 90 and not written.startswith(("-", "."))
    assert written.split(".")[0] not in ("con", "nul", "aux", "prn")


@pytest.mark.parametrize("name", ["", " ", " a", "a@b", "a\0b", "a\nb", "\ud800", "a\u202eb", "x" * 201, 3, None])
def test_a_name_that_can_not_be_written_is_refused(prompts, name):
    with pytest.raises(PromptError):
        prompts.save(name, "text")


def test_every_version_is_exported_and_numbers_and_parents_come_back(prompts, other_prompts, tmp_path):
    prompts.save("classify", "one")
    prompts.save("classify", "two")
    prompts.save("classify", "three", parent=1, metadata={"author": "Ada", "tags": ["a", "b"]})
    paths = prompts.export(tmp_path / "out", name="classify", every_version=True)
    assert [path.name for path in paths] == ["classify.v1.md", "classify.v2.md", "classify.v3.md"]
    loaded = other_prompts.load(tmp_path / "out")
    assert [(version.number, version.parent) for version in loaded] == [(1, None), (2, 1), (3, 1)]
    assert loaded[2].metadata == {"author": "Ada", "tags": ["a", "b"]}
    assert [version.id for version in loaded] == [version.id for version in prompts.versions("classify")]


def test_declared_variables_and_partials_travel_in_the_file(prompts, other_prompts, tmp_path):
    prompts.save("style", "Be {{ tone }}.")
    prompts.save(
        "classify",
        "{% include 'style' %} {{ text }}",
        variables={"tone": {"type": "str", "default": "kind"}, "text": str},
    )
    prompts.export(tmp_path / "out", name="classify")
    (loaded,) = other_prompts.load(tmp_path / "out" / "classify.md")
    assert loaded.hash == prompts["classify"].hash
    assert loaded.render(text="x") == "Be kind. x"
    assert "style" not in other_prompts


def test_a_file_written_by_hand_is_read(prompts, tmp_path):
    (tmp_path / "hand.md").write_text(
        "---\n# a comment\nname: by hand\nmessage: 'it''s mine'\nauthor: Ada Lovelace # not Byron\nnumbers: [1, 2]\n"
        "words: [one, two]\nlist:\n  - a\n  - 2\nvariables:\n  text:\n    type: str\n    example: hello\n"
        "type: chat\n---\n## system\nBe kind.\n\n## user\n{{ text }}\n"
    )
    (version,) = prompts.load(tmp_path / "hand.md")
    assert version.name == "by hand" and version.message == "it's mine"
    assert version.template == (Message("system", "Be kind."), Message("user", "{{ text }}"))
    assert version.metadata == {"author": "Ada Lovelace", "numbers": [1, 2], "words": ["one", "two"], "list": ["a", 2]}
    assert version.examples() == {"text": "hello"}


def test_a_file_without_a_head_and_one_from_windows_are_read(prompts, tmp_path):
    (tmp_path / "bare.md").write_text("Just {{ text }}\n")
    (tmp_path / "windows.md").write_bytes(b"\xef\xbb\xbf---\r\nmessage: hello\r\n---\r\nJust {{ text }}\r\n")
    bare, windows = prompts.load(tmp_path)
    assert (bare.name, bare.template) == ("bare", "Just {{ text }}")
    assert (windows.name, windows.template, windows.message) == ("windows", "Just {{ text }}", "hello")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\nname: x\n", "never closed"),
        ("---\nname x\n---\nbody", "line 2"),
        ("---\na: 1\na: 2\n---\nbody", "line 3 of the head: 'a' is there twice"),
        ("---\na: &anchor 1\n---\nbody", "line 2.*anchors"),
        ("---\na: |\n  block\n---\nbody", "line 2"),
        ('---\na: "open\n---\nbody', "line 2"),
        ("---\na:\n\tb: 1\n---\nbody", "tab"),
        ("---\ntype: chat\n---\nbody", "before the first"),
        ("---\nvariables: 3\n---\nbody", "mapping"),
        ('---\npartials: {"x": 3}\n---\nbody', "partials"),
        ("---\nname: a@b\n---\nbody", "label"),
    ],
)
def test_a_broken_file_is_an_error_that_names_the_file_and_the_place(prompts, tmp_path, text, said):
    path = tmp_path / "broken.md"
    path.write_text(text)
    with pytest.raises(PromptError, match=said) as caught:
        prompts.load(path)
    assert "broken.md" in str(caught.value)
    assert len(prompts) == 0


def test_what_is_no_prompt_file_is_an_error(prompts, tmp_path):
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    with pytest.raises(PromptError, match="not UTF-8"):
        prompts.load(tmp_path / "latin.md")
    with pytest.raises(PromptError, match="can't read"):
        prompts.load(tmp_path / "missing.md")
    with pytest.raises(PromptError, match=r"no \.md file"):
        pathlib.Path(tmp_path / "empty").mkdir()
        prompts.load(tmp_path / "empty")


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=12), plain_json, max_size=5))
def test_a_head_reads_back_what_was_written(values):
    assert read_head(write_head(values)) == values


def test_other_readers_of_yaml_agree_with_the_head():
    yaml = pytest.importorskip("yaml")
    values = {
        "name": "é: # x",
        "a-b": [1, "two", None, True],
        "deep": {"x": {"y": ["- z", "{}"]}},
        "quote": 'it\'s "so"\n',
    }
    assert yaml.safe_load(write_head(values)) == values == read_head(write_head(values))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=40)), min_size=1, max_size=4)
)
def test_any_chat_survives_the_file(turns):
    version = PromptVersion("x", 1, tuple(Message(role, text) for role, text in turns), hash="")
    assert from_markdown(to_markdown(version)).body == version.template
