import re

import pandas as pd
import pytest

from aikit.errors import DatasetError, UnknownSetting
from aikit.experiments import Sample, Score, scorers
from aikit.messages import Completion


def value(scorer, text, target=None):
    return scorer.score(Completion(text), Sample({}, target)).value


@pytest.mark.parametrize(
    ("scorer", "text", "target", "expected"),
    [
        (scorers.exact(), " yes\n", "yes", True),
        (scorers.exact(), "Yes", "yes", False),
        (scorers.exact(), "b", ["a", "b"], True),
        (scorers.normalised_exact(), "The Answer!", "answer", True),
        (scorers.normalised_exact(), "“Straße”", "strasse", True),
        (scorers.normalised_exact(), "other", "answer", False),
        (scorers.one_word(), "positive.", None, True),
        (scorers.one_word(), "very positive", None, False),
        (scorers.one_word(), "", None, False),
        (scorers.one_word(), "...", None, False),
        (scorers.contains("day"), "Good DAY", None, True),
        (scorers.contains("day", ignore_case=False), "Good DAY", None, False),
        (scorers.contains(), "the capital is Paris", "Paris", True),
        (scorers.regex(r"\d+"), "a 12", None, True),
        (scorers.regex(r"answer: (\w+)", group=1), "so, answer: blue!", "blue", True),
        (scorers.regex(r"answer: (\w+)", group=1), "answer: red", "blue", False),
        (scorers.regex(r"\d+", whole=True), "a 12", None, False),
        (scorers.numeric(), "it is 1,234.5 in all", 1234.5, True),
        (scorers.numeric(), "first 3, then 4", "4", True),
        (scorers.numeric(which="first"), "first 3, then 4", "3", True),
        (scorers.numeric(which="only"), "first 3, then 4", "4", False),
        (scorers.numeric(tolerance=0.1), "3.05", 3, True),
        (scorers.numeric(relative=0.01), "102", 100, False),
        (scorers.numeric(), "−7", -7, True),
        (scorers.numeric(), "between 3-5", 5, True),
        (scorers.numeric(), "25%", 0.25, True),
        (scorers.numeric(), "no number", 1, False),
        (scorers.numeric(), "1e3", 1000, True),
        (scorers.max_words(3), "one two three", None, True),
        (scorers.max_words(3), "one two three four", None, False),
        (scorers.max_words(3), " ", None, False),
    ],
)
def test_text_scorers(scorer, text, target, expected):
    assert value(scorer, text, target) is expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("positive", "positive"),
        ("Positive.", "positive"),
        ("The sentiment is negative", "negative"),
        ("**Positive** - not negative at all", "positive"),
        ("neither positive nor negative", None),
        ("nonpositive", None),
        ("", None),
        ("very positive!", "very positive"),
    ],
)
def test_a_label_is_the_only_one_mentioned_or_the_one_in_front(text, found):
    scorer = scorers.label(choices=("positive", "negative", "very positive"))
    assert scorer.find(text) == found


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"$ref": "#/$defs/tags"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}},
}


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ('{"name": "Ada", "age": 3}', True, ""),
        ('{"name": "Ada", "age": 3.0, "tags": ["a", "b"]}', True, ""),
        ('{"age": 3}', False, "'name' is missing"),
        ('{"name": "", "age": -1}', False, "age: -1"),
        ('{"name": "Ada", "age": true}', False, "age"),
        ('{"name": "Ada", "x": 1}', False, "x: nothing is allowed here"),
        ('{"name": "Ada", "tags": ["c"]}', False, r"tags\[0\]"),
        ('{"name": "Ada", "tags": ["a", "a"]}', False, "uniqueItems"),
        ("[" * 100_000, False, ""),
        ('{"name": NaN}', False, "NaN"),
        ('Sure: {"name": "Ada"}', False, ""),
    ],
)
def test_json_is_checked_against_a_schema(text, expected, said):
    score = scorers.json_schema(SCHEMA).score(Completion(text), Sample({}))
    assert score.value is expected
    assert re.search(said, score.explanation)


def test_json_in_a_fence_or_between_words_is_found_unless_strict():
    loose = scorers.json_schema(SCHEMA, strict=False)
    assert value(loose, 'Here:\n```json\n{"name": "Ada"}\n```\nDone.') is True
    assert value(loose, 'Sure: {"name": "Ada"} as asked') is True
    assert value(loose, "nothing") is False


def test_the_check_agrees_with_jsonschema_on_what_it_knows():
    jsonschema = pytest.importorskip("jsonschema")
    from aikit.experiments.json_check import faults

    schemas = [
        SCHEMA,
        {"anyOf": [{"type": "string"}, {"type": "number", "multipleOf": 0.5}]},
        {"oneOf": [{"minimum": 3}, {"maximum": 5}]},
        {"allOf": [{"type": "array"}, {"minItems": 1, "contains": {"const": 1}}], "prefixItems": [{"type": "integer"}]},
        {
            "not": {"type": "null"},
            "if": {"type": "string"},
            "then": {"maxLength": 2, "pattern": "^a"},
            "else": {"enum": [1, True]},
        },
        {
            "patternProperties": {"^x": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
            "maxProperties": 2,
        },
        {"propertyNames": {"maxLength": 1}, "minProperties": 1, "type": ["object", "null"]},
    ]
    values = [
        None,
        True,
        False,
        0,
        1,
        1.0,
        1.5,
        4,
        7,
        "",
        "a",
        "ab",
        "abc",
        [],
        [1],
        [1, 1],
        ["a"],
        [True],
        {},
        {"x": 1},
    ]
    values += [{"name": "A"}, {"name": 1}, {"x1": 1, "y": "s"}, {"x1": "s"}, {"a": 1, "b": 2, "c": 3}, {"long": 1}]
    for schema in schemas:
        for one in values:
            expected = jsonschema.Draft202012Validator(schema).is_valid(one)
            assert (not faults(one, schema)) == expected, (schema, one)


def test_a_schema_with_an_unknown_keyword_is_refused():
    with pytest.raises(UnknownSetting, match="'dependentRequired' is not checked"):
        scorers.json_schema({"dependentRequired": {}})


def test_json_is_compared_field_by_field():
    scorer = scorers.json_fields()
    target = {"name": "Ada", "age": 36, "alive": False}
    scores = scorer.score(Completion('{"name": " ada ", "age": 36.0, "alive": 0}'), Sample({}, target))
    assert scores[""].value == pytest.approx(2 / 3)
    assert {name: one.value for name, one in scores.items() if name} == {"name": True, "age": True, "alive": False}
    assert "alive" in scores[""].explanation
    broken = scorer.score(Completion("no"), Sample({}, '{"name": "Ada"}'))
    assert broken[""].value == 0 and broken["name"].value is False
    with pytest.raises(DatasetError):
        scorer.score(Completion("{}"), Sample({}, "no json"))


def test_a_function_gets_what_its_parameters_are_called():
    sample = Sample({"n": 1}, "t")

    def by_name(completion, target, inputs):
        return completion.text == "a" and target == "t" and inputs == {"n": 1}

    assert scorers.function(by_name).score(Completion("a"), sample) == Score(True)
    assert scorers.function(lambda a, b: a + b == "at").score(Completion("a"), sample) == Score(True)
    assert scorers.function(len).score(Completion("abc"), sample) == Score(3.0)
    assert scorers.function(lambda text, flavour="x": flavour == "x").score(Completion("a"), sample) == Score(True)
    assert scorers.function(lambda text: None).score(Completion("a"), sample) == Score(None)
    with pytest.raises(TypeError, match="not str"):
        scorers.function(lambda text: "yes").score(Completion("a"), sample)
    with pytest.raises(UnknownSetting, match="asks for a, b, c, d"):
        scorers.function(lambda a, b, c, d: True)


def test_a_function_s_version_changes_with_its_source():
    one, other = (
        scorers.function(lambda text: len(text) > 1, name="f"),
        scorers.function(lambda text: len(text) > 2, name="f"),
    )
    assert one.spec() != other.spec()
    assert scorers.function(len, version="7").spec()["version"] == "7"


def test_ratings_come_from_a_frame():
    sample = Sample({}, None, id="s1")
    frame = pd.DataFrame({"sample": ["s1", "s1", "s1"], "variant": ["A", "A", "B"], "rating": [1, 2, 5]})
    scorer = scorers.ratings(frame)
    assert scorer.score(Completion("x"), sample, "A").value == 1.5
    assert scorer.score(Completion("x"), sample, "C").value is None
    assert (
        scorers.ratings(pd.DataFrame({"text": ["x"], "rating": [4]}), sample="text", variant=None)
        .score(Completion("x"), sample, "A")
        .value
        == 4
    )
    with pytest.raises(DatasetError, match="no column 'stars'"):
        scorers.ratings(frame, value="stars")
    with pytest.raises(DatasetError, match="row 1"):
        scorers.ratings(frame.assign(rating="many"))


def test_settings_that_can_not_work_are_refused():
    for make in (
        lambda: scorers.label(choices=("a",)),
        lambda: scorers.label(choices="ab"),
        lambda: scorers.label(choices=("a", "A")),
        lambda: scorers.regex("("),
        lambda: scorers.regex("a", group=1),
        lambda: scorers.max_words(0),
        lambda: scorers.numeric(tolerance=-1),
        lambda: scorers.as_scorers([scorers.exact(), scorers.exact()]),
        lambda: scorers.as_scorers([3]),
        lambda: scorers.judge(" "),
        lambda: scorers.judge("good?", scale=(5, 1)),
        lambda: scorers.judge("good?", options={"temprature": 1}),
    ):
        with pytest.raises(UnknownSetting):
            make()


def test_a_scorer_that_needs_a_target_says_so():
    with pytest.raises(DatasetError, match="pass target="):
        scorers.exact().score(Completion("a"), Sample({}))


def test_every_scorer_has_a_plain_spec():
    import json

    for scorer in (
        scorers.exact(),
        scorers.label(choices=("a", "b")),
        scorers.regex("a"),
        scorers.json_schema(SCHEMA),
        scorers.json_fields(["a"]),
        scorers.function(len),
        scorers.judge("good?"),
        scorers.pairwise("better?"),
    ):
        assert json.dumps(dict(scorer.spec()))
