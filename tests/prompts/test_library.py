import pytest

from aikit.errors import PromptError
from aikit.prompts import Prompts


def test_saving_again_the_same_content_returns_the_version_that_is_there(prompts):
    first = prompts.save("classify", "Sentiment of: {{ text }}", message="first try")
    second = prompts.save("classify", "Mood of: {{ text }}")
    again = prompts.save("classify", "Sentiment of: {{ text }}")
    assert (first.number, second.number, again.number) == (1, 2, 1)
    assert again.message == "first try"
    assert second.parent == 1 and first.parent is None
    assert len(prompts.versions("classify")) == 2


def test_a_version_is_found_by_name_number_and_label(prompts):
    first = prompts.save("classify", "one {{ text }}", labels=["production"])
    second = prompts.save("classify", "two {{ text }}")
    assert prompts["classify"] == second
    assert prompts["classify", 1] == first
    assert prompts["classify@production"] == first
    assert prompts["classify@2"] == second
    assert prompts["classify@latest"] == second
    assert prompts["classify", "production"] == first
    assert "classify" in prompts and "other" not in prompts
    assert list(prompts) == ["classify"] and len(prompts) == 1


def test_a_version_survives_the_process(prompts, store):
    saved = prompts.save("classify", [("system", "Be {{ tone }}"), ("user", "{{ text }}")], defaults={"tone": "kind"})
    found = Prompts(store)["classify"]
    assert found == saved and found.id == saved.id and found.hash == saved.hash
    assert found.messages(text="x")[0].content == "Be kind"


def test_what_is_not_there_is_named_with_what_is(prompts):
    prompts.save("classify", "{{ text }}", labels=["production"])
    with pytest.raises(PromptError, match=r"no prompt 'clasify'.*did you mean 'classify'"):
        prompts["clasify"]
    with pytest.raises(PromptError, match="no version 7; versions: 1 to 1"):
        prompts["classify", 7]
    with pytest.raises(PromptError, match="no label 'staging'; labels: production"):
        prompts["classify@staging"]


def test_labels_move_and_their_moves_are_kept(prompts):
    prompts.save("classify", "one")
    prompts.save("classify", "two")
    prompts.label("classify", "production", version=1)
    prompts.label("classify", "production")
    assert prompts.labels("classify") == {"production": 2}
    prompts.unlabel("classify", "production")
    assert prompts.labels("classify") == {}
    moves = prompts.label_history("classify")
    assert [(m.before, m.after) for m in moves.astype(object).where(moves.notna(), None).itertuples()] == [
        (None, 1),
        (1, 2),
        (2, None),
    ]


@pytest.mark.parametrize("label", ["latest", "2", "", "a b", "../x", 3, "é"])
def test_a_label_that_could_be_mistaken_is_refused(prompts, label):
    prompts.save("classify", "one")
    with pytest.raises(PromptError):
        prompts.label("classify", label)


def test_history_and_search_are_frames(prompts):
    prompts.save("classify", "Sentiment of: {{ text }}", message="first try", labels=["production"])
    prompts.save("classify", "Say the MOOD of: {{ text }}")
    prompts.save("other", "Nothing alike")
    history = prompts.history("classify")
    assert list(history["number"]) == [1, 2]
    assert list(history["labels"]) == ["production", ""]
    assert list(history["variables"]) == ["text", "text"]
    assert str(history["created_at"].dtype).endswith("UTC]")
    assert list(prompts.search("mood")["number"]) == [2]
    assert list(prompts.search("FIRST")["number"]) == [1]
    assert list(prompts.search("production")["number"]) == [1]
    assert prompts.search("mood").iloc[0]["excerpt"].startswith("Say the MOOD")
    assert prompts.search("no such thing").empty


def test_diff_shows_lines_and_variables(prompts):
    first = prompts.save("classify", "Sentiment of: {{ text }}")
    second = prompts.save("classify", "Be brief.\nSentiment of: {{ text }} in {{ language }}")
    diff = prompts["classify", 2].diff(first)
    assert "+Be brief." in diff.lines and "-Sentiment of: {{ text }}" in diff.lines
    assert diff.variables_added == ("language",) and diff.added == 2 and diff.removed == 1
    assert not second.diff(second) and "same text" in second.diff(second).sentence
    assert "classify v1" in str(diff)


def test_diff_of_chats_names_the_turns(prompts):
    first = prompts.save("chat", [("system", "Be brief."), ("user", "{{ text }}")])
    second = prompts.save("chat", [("system", "Be kind."), ("user", "{{ text }}")])
    assert [line for line in second.diff(first).lines if line[0] in "+-"] == ["-Be brief.", "+Be kind."]


def test_a_partial_is_kept_as_it_was_when_the_version_was_saved(prompts):
    prompts.save("style", "Answer in one word. {{ note | default('') }}")
    first = prompts.save("classify", "{% include 'style' %}\n{{ text }}")
    prompts.save("style", "Answer in a song.")
    assert first.render(text="x").startswith("Answer in one word.")
    second = prompts.save("classify", "{% include 'style' %}\n{{ text }}")
    assert second.number == 2, "the same text with another partial is another version"
    assert second.render(text="x").startswith("Answer in a song.")
    assert set(first.variables) == {"text", "note"} and first.required == ("text",)


def test_partials_of_partials_keep_their_own_versions(prompts):
    prompts.save("a", "A1")
    prompts.save("b", "B with {% include 'a' %}")
    prompts.save("a", "A2")
    top = prompts.save("top", "{% include 'a' %} {% include 'b' %}")
    assert top.render() == "A2 B with A1"


def test_a_partial_that_is_missing_or_computed_is_refused(prompts):
    with pytest.raises(PromptError, match="no prompt 'style'"):
        prompts.save("classify", "{% include 'style' %}")
    with pytest.raises(PromptError, match="computed"):
        prompts.save("classify", "{% include name %}")
    assert "classify" not in prompts


def test_a_broken_template_is_not_saved(prompts):
    with pytest.raises(PromptError, match="line 2"):
        prompts.save("classify", "fine\n{{ text ")
    with pytest.raises(PromptError, match="no role 'robot'"):
        prompts.save("classify", [("robot", "hello")])
    with pytest.raises(PromptError, match="at least one message"):
        prompts.save("classify", [])
    with pytest.raises(PromptError, match="not int"):
        prompts.save("classify", 3)
    assert len(prompts) == 0


def test_a_version_can_be_saved_under_another_name(prompts):
    first = prompts.save("classify", "{{ text }} {{ tone }}", defaults={"tone": "kind"})
    copied = prompts.save("copy", first)
    assert copied.hash == first.hash and copied.id != first.id
    assert copied.render(text="x") == "x kind"


def test_the_representation_is_escaped(prompts):
    version = prompts.save("x<script>", "<script>alert(1)</script> {{ text }}", message="<img src=x>")
    shown = version._repr_html_() + version.diff(version)._repr_html_()
    assert "<script" not in shown and "<img" not in shown
