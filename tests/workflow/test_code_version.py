import pytest
from jz3.io import UserError
from jz3.workflow.code_version import code_version


@pytest.fixture
def project(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/__init__.py").write_text("")
    (tmp_path / "lib/used.py").write_text(
        "from .deep import value\n\n\ndef double(x):\n    return 2 * x\n"
    )
    (tmp_path / "lib/deep.py").write_text("from .inner import far\nvalue = 1\n")
    (tmp_path / "lib/inner").mkdir()
    (tmp_path / "lib/inner/__init__.py").write_text("value = 1\n")
    (tmp_path / "lib/inner/far.py").write_text("from .. import above\nvalue = 1\n")
    (tmp_path / "lib/above.py").write_text("value = 1\n")
    (tmp_path / "lib/other.py").write_text("value = 1\n")
    (tmp_path / "main.py").write_text("def run():\n    from lib import used\n    return used\n")

    def version():
        code_version.__globals__["_read"].cache_clear()
        return code_version(tmp_path / "main.py")

    return tmp_path, version


def test_comments_docstrings_and_layout_do_not_count(project):
    folder, version = project
    before = version()
    (folder / "lib/used.py").write_text(
        '"""Doc."""\n# why\nfrom .deep import (value)\ndef double(x):\n    "Twice."\n    return (2 *\n        x)\n'
    )
    assert version() == before


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("used", True),
        ("deep", True),
        ("inner/__init__", True),
        ("inner/far", True),
        ("above", True),
        ("other", False),
    ],
)
def test_behaviour_of_what_is_imported_counts(project, file, counts):
    folder, version = project
    before = version()
    path = folder / f"lib/{file}.py"
    path.write_text(path.read_text().replace("1", "7").replace("2", "3"))
    assert (version() != before) == counts


def test_a_misspelt_program_is_named(project):
    folder, _ = project
    with pytest.raises(UserError, match=r'no such program. Did you mean "main.py"'):
        code_version(folder / "mian.py")
