import numpy as np
import pytest
from twins.backends import uncompiled


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def eager():
    """Forward passes run without being compiled: many small models are traced once each."""
    with uncompiled():
        yield
