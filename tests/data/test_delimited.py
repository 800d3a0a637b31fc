"""Tables as people have them: separators, headers, decimal commas, labels in words, and what is named in each error."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from tinyres.data import Table, read_table
from tinyres.errors import FileError


def read(tmp_path: Path, text: str | bytes, name: str = "table.csv", **options: object) -> Table:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "features", "x", "y"),
    [
        ("a;b;label\n1;2;0\n3;4;1\n", ("a", "b"), [[1, 2], [3, 4]], [0, 1]),
        ("a\tb\tlabel\n1\t2\t0\n3\t4\t1\n", ("a", "b"), [[1, 2], [3, 4]], [0, 1]),
        ("a|b|label\n1|2|0\n", ("a", "b"), [[1, 2]], [0]),
        ("a;b;label\n1,5;2;0\n3;-4,25;1\n", ("a", "b"), [[1.5, 2], [3, -4.25]], [0, 1]),
        ("1,5;2,5;0\n3,5;4,5;1\n", ("column 1", "column 2"), [[1.5, 2.5], [3.5, 4.5]], [0, 1]),
        ("# from a scale\na,label\n# calibrated\n1,0\n", ("a",), [[1]], [0]),
        ('"a, in mm","label"\n"1.5","0"\n', ("a, in mm",), [[1.5]], [0]),
        ('"a\nb",label\n1,0\n', ("a\nb",), [[1]], [0]),
        ("0,1,2\n5.1,3.5,0\n4.9,3.0,1\n", ("0", "1"), [[5.1, 3.5], [4.9, 3.0]], [0, 1]),  # counted columns
        ("1,2,0\n3,4,1\n", ("column 1", "column 2"), [[1, 2], [3, 4]], [0, 1]),  # not counted: an example
        ("5.1,setosa\n4.9,virginica\n5.0,setosa\n", ("column 1",), [[5.1], [4.9], [5.0]], [0, 1, 0]),
    ],
)
def test_what_is_understood(
    tmp_path: Path, text: str, features: tuple[str, ...], x: list[list[float]], y: list[int]
) -> None:
    table = read(tmp_path, text)
    assert table.features == features
    assert table.x.tolist() == np.array(x, np.float32).tolist()
    assert table.y.tolist() == y


def test_encodings_and_suffixes(tmp_path: Path) -> None:
    text = "größe\tlabel\n1\t0\n"
    for raw, name in ((text.encode("utf-8-sig"), "a.tsv"), (text.encode("utf-16"), "b.txt"), (text.encode(), "c.CSV")):
        table = read(tmp_path, raw, name)
        assert (table.features, table.x.tolist(), table.y.tolist()) == (("größe",), [[1.0]], [0])


def test_a_first_row_with_a_missing_value_is_an_example(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"column 'column 2' of table\.csv has no value in line 1; fill it"):
        read(tmp_path, "5.1,,0\n4.9,3.0,1\n")


def test_labels_in_words_are_numbered_in_order_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, "a,kind\n1,dog\n2,cat\n3,dog\n")
    assert table.y.tolist() == [1, 0, 1] and table.classes == ("cat", "dog") and table.label == "kind"
    assert table.notes == ("labels were numbered: cat -> 0, dog -> 1",)
    shifted = read(tmp_path, "a,label\n1,1\n2,3\n3,-1\n")
    assert shifted.y.tolist() == [1, 2, 0] and shifted.classes == ("-1", "1", "3")
    assert read(tmp_path, "a,label\n1,0\n2,2\n3,0\n").notes == ()  # a class without an example keeps its number


def test_the_label_column_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    text = "kind,a,label\n0,5,1\n1,6,1\n"
    assert read(tmp_path, text).label == "label"
    for label in ("kind", "column 1"):
        table = read(tmp_path, text, label=label)
        assert (table.label, table.features, table.y.tolist()) == ("kind", ("a", "label"), [0, 1])
    with pytest.raises(FileError, match=r"table\.csv has kind, a, label; got 'Kind'; choose one of them"):
        read(tmp_path, text, label="Kind")


def test_an_id_among_the_features_is_said(tmp_path: Path) -> None:
    rows = "".join(f"{i + 7},{i % 3},{i % 2}\n" for i in range(40))
    table = read(tmp_path, "id,a,label\n" + rows)
    assert table.features == ("id", "a")
    assert table.notes == ("column 1 (id) counts the rows and is taken for a feature: drop it if it is an ID",)


def test_an_id_with_gaps_is_said(tmp_path: Path) -> None:
    """Where rows were dropped later an index counts with gaps: it was taken for a feature without a word."""
    kept = [i for i in range(40) if i not in (3, 17, 18)]
    table = read(tmp_path, "index,a,label\n" + "\n".join(f"{i},{i % 7},{i % 2}" for i in kept))
    assert table.notes == (
        "column 1 (index) counts the rows, with gaps, and is taken for a feature: drop it if it is an ID",
    )
    rising = "\n".join(f"{i * i},{i % 7},{i % 2}" for i in kept)
    assert read(tmp_path, "area,a,label\n" + rising).notes == ()


def test_whole_numbers_that_hardly_are_classes_are_said(tmp_path: Path) -> None:
    rows = "".join(f"{i},{2 * (i % 25)}\n" for i in (*range(0, 80, 2), *range(1, 80, 2)))
    table = read(tmp_path, "a,count\n" + rows)
    assert table.classes is not None and len(table.classes) == 49
    assert table.notes == (
        "24 of the 49 classes have no example",
        "3.2 examples per class: if the label is a number to predict, ask for --regression",
    )


def test_pandas_index_column_is_left_out_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, ",a,label\n0,5,1\n1,6,0\n2,7,0\n")
    assert table.features == ("a",) and table.x.tolist() == [[5], [6], [7]]
    assert table.notes == ("column 1 (unnamed) counts the rows: left out as an index",)
    assert read(tmp_path, "index,a,label\n7,5,1\n3,6,0\n").features == ("index", "a")  # it does not count


def test_targets_of_a_regression(tmp_path: Path) -> None:
    table = read(tmp_path, "a;price\n1;10,5\n2;-3\n", regression=True)
    assert table.y.tolist() == [[10.5], [-3.0]] and table.y.dtype == np.float32 and table.classes is None
    with pytest.raises(FileError, match="targets of a regression must be finite numbers; column 'price'"):
        read(tmp_path, "a,price\n1,low\n2,high\n", regression=True)


ROWS = "".join(f"{i % 7},{i}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,id\n" + ROWS, "column 'id' of table.csv has 40 different values in 40 rows: it rather counts the rows or"),
        ("a,label\n" + ROWS.replace("\n", ".5\n"), "column 'label' of table.csv has 0.5; if it is a number to predict"),
        ("a,a,label\n1,2,0\n", "columns must have different names; table.csv has 'a' more than once; rename them"),
        ("a;label\n1,5;0\n2.5;1\n", "a decimal point or a decimal comma; table.csv has 2.5 and 1,5; write all of them"),
        ("a,label\n1,0\n2,\n", "every row needs a label; column 'label' of table.csv has none in line 3; fill or drop"),
        ("a,label\nNA,0\n?,1\n3,0\n", "column 'a' of table.csv has no value in 2 lines, the first of them 2; fill it"),
        ("a,c,label\n1,red,0\n2,blue,1\n3,red,0\n", "column 'c' of table.csv has 'blue', 'red' in 3 lines, the first"),
    ],
)
def test_what_is_refused_names_the_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=re.escape(message)):
        read(tmp_path, text)


def test_a_thousand_separator_is_not_a_decimal_comma(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"column 'a' of table\.csv has '1,234' in line 2"):
        read(tmp_path, 'a,label\n"1,234",0\n5,1\n')


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(FileError, match="a table is needed; .*pipe.csv' is a pipe or a device"):
        read_table(tmp_path / "pipe.csv")


@pytest.mark.parametrize("header", ["0,1,label", "1,2,Target", "class,0,1", "0,1,y"])
def test_numbered_columns_beside_a_named_label_are_a_header(tmp_path: Path, header: str) -> None:
    """What pandas writes for DataFrame(x) with a column "label": it was taken for an example of a class "label"."""
    rows = ["5,6,a", "7,8,b"] if not header.startswith("class") else ["a,5,6", "b,7,8"]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows, ""]))
    table = read_table(tmp_path / "t.csv")
    assert (table.x.tolist(), table.y.tolist()) == ([[5.0, 6.0], [7.0, 8.0]], [0, 1])


def test_a_first_row_that_counts_and_has_a_label_of_others_is_an_example(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,1,y\n5,6,n\n7,8,y\n")
    assert read_table(tmp_path / "t.csv").x.shape == (3, 2)


def test_a_quote_that_does_not_close_is_refused(tmp_path: Path) -> None:
    """The rows to the end of the file became one label."""
    (tmp_path / "t.csv").write_text('x,label\n1,a\n2,"b\n3,a\n4,b\n')
    with pytest.raises(FileError, match="the quote that opens in line 3 does not close"):
        read_table(tmp_path / "t.csv")
