"""Which model an operator made the default of the running application, kept by Ray itself.

It is kept in the key-value store of Ray's control service (durable where that is), so that replicas
that start later, and those that an operator's call did not reach, come to the same model. It holds
for the application as it was deployed: once deployed with another `model`, that one counts.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Final

# Ray's libraries keep their own state there; it has no public face.
from ray.experimental import internal_kv

from serve_app.engine.identity import ModelSource
from serve_app.settings import Settings

__all__ = ["Choice"]

_NAMESPACE: Final = b"ecg-fm-serve"


class Choice:
    """The default model that was chosen in the place of the one that settings name.

    Args:
        settings: Of the application.
    """

    def __init__(self, settings: Settings) -> None:
        given = json.dumps([settings.model, settings.model_revision])
        self._key = b"model:" + hashlib.sha256(given.encode()).hexdigest().encode()

    def read(self) -> ModelSource | None:
        """The chosen model, with the SHA-256 it has to have; None: settings hold."""
        kept = internal_kv._internal_kv_get(self._key, namespace=_NAMESPACE)
        return ModelSource(**json.loads(kept)) if kept else None

    def write(self, source: ModelSource) -> None:
        """Keep a choice, for this and every other replica."""
        kept = json.dumps(asdict(source)).encode()
        internal_kv._internal_kv_put(self._key, kept, overwrite=True, namespace=_NAMESPACE)
