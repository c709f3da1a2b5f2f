import ast
from pathlib import Path

import app
import bench.plain


def test_the_replacement_has_every_name_that_the_app_imports_from_its_binding() -> None:
    wanted = {
        alias.name
        for path in Path(app.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "database"
        for alias in node.names
    }

    assert wanted
    assert wanted <= set(vars(bench.plain))
