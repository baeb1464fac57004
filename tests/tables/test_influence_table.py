"""Influence scores by source and level."""

import pandas as pd
import pytest
from jz3.tables import influence_table, text_table
from jz3.tables.intervals import wilson


def scores(groups: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame([
        {"problem_id": f"{name}{k}", "source": name, "level": "grade" if k % 2 else "middle",
         "total": value}
        for name, values in groups.items()
        for k, value in enumerate(values)
    ])  # fmt: skip


def test_groups_by_hand():
    table = influence_table.summarise(
        "main", scores({"web": [1.0, 2, 3, 4, 5], "qa": [9.0, 7, 8, -4, 0]}), 0.95, 1
    )
    rows = table.to_dict("records")
    assert [(row["by"], row["group"], row["problems"]) for row in rows] == [
        ("source", "qa", 5), ("source", "web", 5), ("level", "middle", 6), ("level", "grade", 4),
    ]  # fmt: skip
    qa, web = rows[:2]
    assert (qa["mean"], qa["median"]) == (4.0, 7.0)
    assert (web["tenth"], web["ninetieth"]) == pytest.approx((1.4, 4.6), abs=1e-12)
    assert (qa["best"], web["best"]) == (1, 0)  # one of ten problems is the best tenth
    assert (qa["low"], qa["high"]) == wilson(1, 5, 0.95)
    assert web["mean_low"] < web["mean"] < web["mean_high"]
    assert sum(row["best"] for row in rows if row["by"] == "level") == 1


def test_order_of_the_scores_does_not_matter_and_one_score_is_enough(tmp_path):
    given = scores({"web": [0.1, 0.2, 0.3], "qa": [0.15]})
    rows = influence_table.summarise("main", given, 0.95, 1)
    assert rows.equals(influence_table.summarise("main", given[::-1], 0.95, 1))
    path = tmp_path / "influence.csv"
    path.write_text(influence_table.to_csv(rows))
    back = influence_table.read_csv(path)
    grid = influence_table.layout(back, 0.95)
    assert grid == influence_table.layout(rows, 0.95)
    single = next(row for row in grid.rows if row[2] == "qa")
    assert single[4] == "+0.150"  # no interval
    assert influence_table.turns(back) == (2,)
    text = text_table.markdown(grid, 1)
    assert "| main | source | web | 3 | +0.200 \\[" in text
    assert text_table.latex(grid, "influence", (2,)).count(r"\midrule") == 2
