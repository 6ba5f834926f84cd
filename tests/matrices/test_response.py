"""The left side: numbers, successes out of trials, categories."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import build_design
from tests.matrices.frames import small

DATA = small()
N = np.arange(24) % 5 + 1.0
K = np.minimum(np.arange(24) % 3, N)
COUNTS = DATA.assign(k=K, n=N, b=np.arange(24) % 2, c=pd.Categorical(["no", "yes"] * 12, ["yes", "no"]))


def response(left, kind="binomial", data=COUNTS, **arguments):
    return build_design(f"{left} ~ x + (1 | g)", data, response_kind=kind, **arguments).response


def test_numbers():
    found = response("y", "numeric")
    assert found.values.tolist() == DATA.y.tolist()
    assert (found.name, found.trials, found.categories) == ("y", None, None)


def test_transformed_numbers_keep_the_users_spelling():
    found = build_design("log(`my z`) ~ x + (1 | g)", DATA.rename(columns={"z": "my z"})).response
    assert found.values == pytest.approx(np.log(DATA.z))
    assert found.name == "log(`my z`)"


@pytest.mark.parametrize("left", ["b", "I(b == 1)", "I(z > 1.5)"])
def test_truth_values_are_numbers(left):
    assert set(response(left, "numeric").values.tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("values", [np.arange(24) % 2, np.arange(24) % 2 == 1, pd.array([False, True] * 12, "boolean")])
def test_binary(values):
    found = response("v", data=COUNTS.assign(v=values))
    assert found.values.tolist() == [0.0, 1.0] * 12
    assert found.trials is None


@pytest.mark.parametrize("values", [["fail", "ok"] * 12, pd.Categorical(["fail", "ok"] * 12)])
def test_the_second_of_two_categories_is_the_success(values):
    found = response("v", data=COUNTS.assign(v=values))
    assert found.values.tolist() == [0.0, 1.0] * 12
    assert found.categories == ("fail", "ok")


def test_the_order_of_the_categories_decides():
    found = response("c")
    assert found.categories == ("yes", "no")
    assert found.values.tolist() == [1.0, 0.0] * 12


def test_three_ways_to_write_counts():
    by_columns = response("cbind(k, n - k)")
    by_ratio = response("k/n", weights="n")
    by_proportion = response("p", data=COUNTS.assign(p=K / N), weights=N)
    for found in (by_columns, by_ratio, by_proportion):
        assert found.values == pytest.approx(K / N)
        assert found.trials.tolist() == N.tolist()


def test_weights_that_are_trials_are_not_weights_too():
    design = build_design("k/n ~ x + (1 | g)", COUNTS, weights="n", response_kind="binomial")
    assert design.weights is None
    assert design.weights_column == "n"


@pytest.mark.parametrize("left", ["k/n", "cbind(k, n - k)"])
def test_rows_without_trials_tell_nothing_and_are_left_out(left):
    data = COUNTS.assign(k=K * (np.arange(24) > 0), n=N * (np.arange(24) > 0))
    design = build_design(f"{left} ~ x + (1 | g)", data, weights="n" if "/" in left else None, response_kind="binomial")
    assert design.n_rows == 23
    assert design.response.trials.tolist() == N[1:].tolist()


def test_missing_counts_cost_their_rows():
    data = COUNTS.assign(k=COUNTS.k.where(COUNTS.index != 3))
    for left in ("cbind(k, n - k)", "k/n"):
        design = build_design(
            f"{left} ~ x + (1 | g)", data, weights="n" if "/" in left else None, response_kind="binomial"
        )
        assert len(design.response.trials) == 23


def test_ordinal_categories():
    words = ["low", "mid", "high"] * 8
    found = response("v", "ordinal", COUNTS.assign(v=pd.Categorical(words, ["low", "mid", "high"])))
    assert [found.categories[int(code) - 1] for code in found.values] == words
    assert found.categories == ("low", "mid", "high")
    with pytest.raises(DataError, match="'v' is text, which has no order"):
        response("v", "ordinal", COUNTS.assign(v=words))


def test_ordinal_numbers():
    found = response("v", "ordinal", COUNTS.assign(v=[5, 1, 3] * 8))
    assert found.categories == (1, 3, 5)
    assert found.values.tolist() == [3, 1, 2] * 8


@pytest.mark.parametrize(
    ("left", "kind", "data", "message"),
    [
        ("f", "numeric", {}, r"response 'f' is not numeric \(dtype (str|object), for example 'a'\)"),
        ("c", "numeric", {}, r"response 'c' is not numeric \(dtype category, for example 'yes'\)"),
        ("t", "numeric", {"t": pd.date_range("2020", periods=24)}, "'t' holds dates or times"),
        ("q", "numeric", {"q": np.ones(24) * 1j}, "'q'.*complex"),
        ("log(w)", "numeric", {"w": -1.0}, r"log\(w\) is not a number"),
        ("b", "binomial", {"b": [0, 2] * 12}, r"'b' has values outside 0 … 1, such as 2.*trials"),
        ("b", "binomial", {"b": [0, -1] * 12}, "outside 0 … 1"),
        ("b", "binomial", {"b": [0, 0.25] * 12}, "proportions such as 0.25; give the number of trials"),
        ("f", "binomial", {}, r"3 categories \('a', 'b', 'c'\).*two levels"),
        ("f", "binomial", {"f": "a"}, "1 categories"),
        ("cbind(k, w)", "binomial", {"w": -1.0}, r"cbind\(k, w\): w has negative counts, for example -1"),
        ("cbind(k, f)", "binomial", {}, "f must be one column of numbers"),
        ("k/n", "binomial", {"n": 0.0}, "not a number|infinite"),
    ],
)
def test_values_that_a_kind_cannot_use_are_refused(left, kind, data, message):
    with pytest.raises(DataError, match=message):
        response(left, kind, COUNTS.assign(**data))


@pytest.mark.parametrize(
    ("left", "kind", "arguments", "message"),
    [
        ("cbind(k, n - k)", "numeric", {}, "needs family='binomial'"),
        ("cbind(k, n - k)", "ordinal", {}, "one column of categories"),
        ("cbind(k, n, b)", "binomial", {}, "takes two counts"),
        ("cbind(k, n - k)", "binomial", {"weights": "n"}, "already gives the trials"),
        ("poly(z, 2)", "numeric", {}, "2 columns"),
        ("y", "multinomial", {}, "unknown kind of response 'multinomial'"),
    ],
)
def test_left_sides_without_meaning_are_refused(left, kind, arguments, message):
    with pytest.raises(SpecificationError, match=message):
        response(left, kind, **arguments)


def test_a_formula_without_a_response():
    with pytest.raises(SpecificationError, match="no response"):
        build_design("~ x + (1 | g)", DATA)


def test_text_that_was_meant_to_be_numbers_is_named():
    frame = pd.DataFrame({"y": np.arange(24.0) ** 2, "g": np.repeat(list("abcd"), 6)})
    frame["age"] = [str(20 + k % 11) for k in range(24)]
    frame.loc[5, "age"] = "unknown"
    notes = build_design("y ~ age + (1 | g)", frame).notes
    assert any("age is text" in note and "11 levels" not in note and "'unknown' (row 5)" in note for note in notes)
    wrong = frame.assign(y=frame.y.astype(str))
    wrong.loc[7, "y"] = "n/a?"
    with pytest.raises(DataError, match=r"all of its values but 'n/a\?' \(row 7\) are numbers"):
        build_design("y ~ 1 + (1 | g)", wrong)
    commas = frame.assign(x=[f"{k / 7:.5f}".replace(".", ",") for k in range(24)])
    with pytest.raises(DataError, match=r"x is text.*decimal comma"):
        build_design("y ~ x + (1 | g)", commas)
    assert build_design("y ~ g + (1 | g)", frame).notes == ()


@pytest.mark.parametrize(
    ("texts", "said", "cures"),
    [
        (["1.5", "2"], "are numbers (", [[1.5, 2.0]]),
        (["1,5", "2"], "with a decimal comma", [[1.5, 2.0]]),
        (["1.234,5", "2"], "with a decimal comma", [[1234.5, 2.0]]),
        (["1,234.5", "2"], "with commas between thousands", [[1234.5, 2.0]]),
        (["1,234,567", "2"], "with commas between thousands", [[1234567.0, 2.0]]),
        (["1'234", "2"], "are numbers (", [[1234.0, 2.0]]),
        (["80 %", "5%"], "are numbers with a percent sign", [[80.0, 5.0]]),
        (["80,5 %", "5 %"], "with a decimal comma and a percent sign", [[80.5, 5.0]]),
        (["1,234", "2"], "with a comma, before decimals or between thousands", [[1.234, 2.0], [1234.0, 2.0]]),
    ],
)
def test_what_is_said_of_numbers_as_text_makes_them_numbers(texts, said, cures):
    """The cures in parentheses are run as they stand."""
    frame = pd.DataFrame({"y": texts * 6, "g": list("abcdef") * 2})
    with pytest.raises(DataError) as told:
        build_design("y ~ 1 + (1 | g)", frame)
    message = str(told.value)
    assert said in message
    written = message[message.index("(.") + 1 : message.index(" makes them")]
    assert [eval(f"column{cure}", {"column": pd.Series(texts)}).tolist() for cure in written.split(" or ")] == cures


@pytest.mark.parametrize(
    "style", ["%d.%m.%Y", "%d.%m.%y", "%m/%d/%y", "%m/%d/%Y", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%d-%m-%Y", "%Y-%m-%d bare"]
)
@pytest.mark.parametrize("count", [3, 14])
def test_what_is_said_of_dates_as_text_makes_days_of_them(style, count):
    """The cure in parentheses is run as it stands; a few dates whose letters are in order may be meant as levels."""
    days = pd.date_range("2023-09-25", periods=count, freq="23D")
    texts = days.strftime(style.removesuffix(" bare")).tolist()
    texts = [text.replace("-0", "-") for text in texts] if style.endswith("bare") else texts
    frame = pd.DataFrame({"day": texts * 6, "g": np.repeat(list("abcdef"), count)})
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    (told,) = [note for note in build_design("y ~ day + (1 | g)", frame).notes if "dates" in note] or [""]
    is_ordered = sorted(texts) == texts
    assert bool(told) == (count > 9 or not is_ordered)
    assert ("in the order of their letters" in told) == (bool(told) and not is_ordered)
    if told:
        value, name = told[told.index("(") + 1 : told.index(" makes them")].split(" of date = ")
        date = eval(name, {"pd": pd, "data": frame})
        assert eval(value, {"date": date}).tolist() == [23.0 * k for k in range(count)] * 6


@pytest.mark.parametrize(
    "texts", [["1.2.10", "1.2.3", "1.10.1"], ["a", "2024"], ["31.31.2024", "1.1.2024"], ["12/5", "3/4"]]
)
def test_labels_that_are_no_dates_are_not_called_so(texts):
    frame = pd.DataFrame({"x": texts * 12, "g": np.repeat(list("abcd"), 3 * len(texts))})
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    assert not any("dates" in note for note in build_design("y ~ x + (1 | g)", frame).notes)


def test_rows_are_those_of_the_data_whatever_was_left_out():
    for index in (None, [f"r{k}" for k in range(24)]):
        frame = pd.DataFrame({"y": map(str, range(24)), "g": np.repeat(list("abcd"), 6), "x": np.arange(24.0)}, index)
        frame.iloc[9, 0], frame.iloc[3, 2], frame.iloc[5, 2] = "-", np.nan, np.nan
        with pytest.raises(DataError, match=rf"'-' \(row {9 if index is None else 'r9'}\)"):
            build_design("y ~ x + (1 | g)", frame)
