"""Views of topics that read to the end for as long as a busy machine needs.

In production a question that has more to read is answered `catching_up` after two seconds, and put again by whoever
asked. A test asks once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataplatform.base.streaming import view
from tests.support.waiting import DEADLINE

__all__ = ["patient_views"]


@pytest.fixture(scope="session", autouse=True)
def patient_views() -> Iterator[None]:
    """Import it into a conftest: it holds for all tests below."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "PATIENCE", DEADLINE)
        yield
