import pyarrow as pa
import pytest
from jz3 import io, records


def test_a_schema_follows_its_row():
    assert str(records.PACKS.field("labels").type) == "list<item: int32>"
    kinds = {name: records.PROBLEMS.field(name).type for name in ("status", "parsed", "answer")}
    assert kinds == {"status": pa.string(), "parsed": pa.bool_(), "answer": pa.string()}
    assert records.SCORES.names == [*records.SHARD_SCORES.names, "total"]
    assert records.SCORES.field("total").type == pa.float64()


@pytest.mark.parametrize("schema", [v for v in vars(records).values() if isinstance(v, pa.Schema)])
def test_every_column_may_be_null(tmp_path, schema):
    row = dict.fromkeys(schema.names)
    io.write_table(tmp_path / "t.parquet", [row], schema, {})
    assert io.read_rows(tmp_path / "t.parquet", schema) == [row]
