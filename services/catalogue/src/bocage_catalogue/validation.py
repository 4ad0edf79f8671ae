"""stub"""

from typing import Any


def check_item(d: Any) -> None: ...
def check_collection(d: Any) -> None: ...
