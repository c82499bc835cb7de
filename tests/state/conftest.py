"""Makes `world` importable beside the tests, and gives them one that has begun."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def world(tmp_path):
    from world import World, records

    made = World(tmp_path, records(21, 16))
    made.append(20)
    return made
