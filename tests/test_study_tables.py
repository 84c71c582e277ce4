"""CSV files of a study: numbers to the last bit, names as they are, and no formula for a spreadsheet."""

import csv
import io

import numpy as np
import pytest

from minicnn.study.tables import csv_text

NASTY = [
    *("=1+1", "+1", "-1", "-0.5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "'", "''", "'quoted'"),
    *(
        "a,b",
        'a"b',
        '"',
        "a\nb",
        "a\rb",
        "a\r\nb",
        "a;=1",
        "",
        " ",
        " =1",
        "a\\b",
        "$x_1^2$",
        "<b>&amp;</b>",
        "\0",
        "é",
    ),
]


def test_numbers_keep_every_bit():
    third = np.float32(1) / np.float32(3)
    text = csv_text(("n", "x", "y", "z"), [(np.int64(3), third, 0.1 + 0.2, 2**40)])
    (row,) = csv.DictReader(io.StringIO(text))
    # 11184811 / 2**25 is the float32 nearest to 1/3
    assert (int(row["n"]), float(row["x"]), float(row["y"]), int(row["z"])) == (3, 11184811 / 2**25, 0.1 + 0.2, 2**40)


def test_names_come_back_and_none_is_a_formula():
    pandas = pytest.importorskip("pandas")
    text = csv_text(("name", "value"), [(name, -0.5) for name in NASTY])
    # an independent reader, which sees what a spreadsheet sees
    found = pandas.read_csv(io.StringIO(text, newline=""), dtype=str, keep_default_na=False, engine="python")
    assert [cell.removeprefix("'") if cell[:1] == "'" else cell for cell in found["name"]] == NASTY
    assert not [cell for cell in found["name"] if cell[:1] and cell[0] in "=+-@\t\r\n\uff1d"]
    assert set(found["value"]) == {"-0.5"}
