import json

import duckdb
import numpy as np
import pandas as pd
import pytest

from aikit.errors import DatasetError
from aikit.experiments import Sample
from aikit.experiments.samples import load

ROWS = [{"text": "good day", "label": "positive"}, {"text": "bad, day", "label": "negative"}]


def written(tmp_path, kind):
    frame, path = pd.DataFrame(ROWS), tmp_path / f"data.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    elif kind == "json":
        path.write_text(json.dumps(ROWS))
    else:
        duckdb.sql(f"COPY (SELECT * FROM frame) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_samples(tmp_path, kind):
    dataset = load(written(tmp_path, kind), target="label")
    assert [one.inputs for one in dataset.samples] == [{"text": "good day"}, {"text": "bad, day"}]
    assert [one.target for one in dataset.samples] == ["positive", "negative"]
    assert dataset.hash == load(ROWS, target="label").hash


def test_frames_lists_columns_relations_and_samples_are_taken():
    known = load(ROWS, target="label").hash
    assert load(pd.DataFrame(ROWS), target="label").hash == known
    assert load({"text": ["good day", "bad, day"], "label": ["positive", "negative"]}, target="label").hash == known
    relation = duckdb.sql("SELECT * FROM (VALUES ('good day', 'positive'), ('bad, day', 'negative')) AS t(text, label)")
    assert load(relation, target="label").hash == known
    assert load([Sample({"text": "good day"}, "positive"), Sample({"text": "bad, day"}, "negative")]).hash == known


def test_a_query_runs_on_the_log():
    asked = []
    dataset = load("select text from calls", run_sql=lambda query: asked.append(query) or pd.DataFrame(ROWS))
    assert asked == ["select text from calls"] and len(dataset) == 2
    with pytest.raises(DatasetError, match="needs the log"):
        load("select 1 as x")


def test_the_id_is_the_content_and_nothing_else():
    first, second = load(ROWS, target="label").samples
    again = load([dict(reversed(ROWS[0].items()))], target="label").samples[0]
    assert first.id == again.id != second.id
    assert load([{**ROWS[0], "label": "negative"}], target="label").samples[0].id != first.id


def test_rows_that_are_there_twice_stay_two_and_are_warned_of():
    dataset = load([ROWS[0], ROWS[0], ROWS[1]])
    assert len({one.id for one in dataset.samples}) == 3
    assert "1 of 3 rows" in dataset.warnings[0]


def test_scalars_of_numpy_and_missing_values_become_plain():
    frame = pd.DataFrame(
        {"n": np.array([1], dtype="int8"), "x": [float("nan")], "t": [pd.Timestamp("2026-11-22")], "l": [[1, 2]]}
    )
    (sample,) = load(frame).samples
    assert sample.inputs == {"n": 1, "x": None, "t": "2026-11-22T00:00:00", "l": [1, 2]}
    json.dumps(dict(sample.inputs))


def test_a_cluster_is_read_and_stays_an_input():
    dataset = load([{"text": "a", "doc": 7}], cluster="doc")
    assert dataset.samples[0].cluster == "7" and dataset.samples[0].inputs["doc"] == 7


@pytest.mark.parametrize(
    ("name", "text", "row", "column", "said"),
    [
        ("a.csv", "", None, None, "is empty"),
        ("a.csv", "text,label\n", None, None, "has no rows"),
        ("a.csv", "text,label\ngood,positive\nbad, day,negative\n", 2, "label", "row 2: 3 cells for 2 columns"),
        ("a.csv", "text,label\ngood\n", 1, "label", "'label' has none"),
        ("a.csv", 'text,label\n"good,positive\n', 1, None, "never closed"),
        ("a.csv", "text,text\na,b\n", None, "text", "two columns are called 'text'"),
        ("a.csv", "text,\na,b\n", None, "", "column 2 has no name"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', 2, None, "line 2: not JSON"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', 2, None, "row 2 is a list"),
        ("a.json", '{"text": "a"}', None, None, "not a list"),
        ("a.parquet", "no parquet", None, None, "no Parquet file"),
        ("a.xyz", "", None, None, "unknown kind of file"),
    ],
)
def test_a_malformed_file_is_named_with_row_and_column(tmp_path, name, text, row, column, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetError, match=said) as caught:
        load(path)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert name in str(caught.value) or name == "a.parquet"


def test_a_file_that_is_no_utf_8_is_named_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\nfine\ncaf\xe9\n")
    with pytest.raises(DatasetError, match="line 3: not UTF-8"):
        load(tmp_path / "a.csv")


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "sentiment.csv").write_text("text\na\n")
    with pytest.raises(DatasetError, match=r"no file .*beside it: sentiment\.csv"):
        load(tmp_path / "sentimnt.csv")


def test_a_missing_or_empty_target_is_named():
    with pytest.raises(
        DatasetError, match="no column 'lable' for the target; columns: text, label; did you mean 'label'"
    ):
        load(ROWS, target="lable")
    with pytest.raises(DatasetError, match="row 2: the target 'label' is empty") as caught:
        load([ROWS[0], {"text": "x", "label": ""}], target="label")
    assert (caught.value.row, caught.value.column) == (2, "label")


def test_a_prompt_variable_needs_a_column_with_a_value_in_every_row():
    dataset = load(ROWS, target="label")
    dataset.check_variables(["text"], prompt="p")
    with pytest.raises(
        DatasetError, match="has no column 'txt', which p needs; columns: text; did you mean 'text'"
    ) as caught:
        dataset.check_variables(["txt"], prompt="p")
    assert caught.value.column == "txt"
    with pytest.raises(DatasetError, match="row 2: column 'text' is empty"):
        load([{"text": "a"}, {"text": None}]).check_variables(["text"], prompt="p")


@pytest.mark.parametrize("samples", [[], pd.DataFrame({"text": []}), 3, ["text"], None])
def test_what_holds_no_samples_is_refused(samples):
    with pytest.raises(DatasetError):
        load(samples)
