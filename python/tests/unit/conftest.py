"""Tests of the Python layer that need nothing but NumPy and pytest. Any warning is an error here."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Small packages of every deployment target, made by Tests/ModelCompressionTests/Fixtures/make_fixtures.py.
FIXTURES = HERE.parents[2] / "Tests" / "ModelCompressionTests" / "Fixtures"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"), append=False)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES
