"""The contract test runs on the methods of the package, or on any other: --objective mypackage.mymethod."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--objective", help="hold this method to the contract instead: a dotted path, or a name")
