"""A dataset in a Parquet file, read by DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aikit.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_parquet"]


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the file's rows as a frame; raises DatasetError when it is no Parquet file."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
        except duckdb.Error as error:
            raise DatasetError(f"{path} is no Parquet file that can be read: {str(error).splitlines()[0]}") from error
