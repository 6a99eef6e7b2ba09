"""What looks at a photo, and what words an answer: two small protocols, chosen by configuration, never by fallback."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from eco2.pipeline.v1.messages_pb2 import Reply, Sight
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule
from eco2.recycle_info.v1.recycle_info_pb2 import Material

from workers.ai.vision import HEAD, ITEMS, EmbeddedVision


class Vision(Protocol):
    provider: str
    # Changes whenever the same photo may get another answer; part of the cache key.
    model: str

    def look(self, photo: bytes) -> Sight:
        """What a clean photo shows. Raises ValueError for bytes that are no photo."""


class Language(Protocol):
    def word(self, sight: Sight, rule: ResolvedRule, language_code: str) -> Reply:
        """The answer in words. An empty rule means that none was found."""


class EmbeddedEyes:
    """The model in this repository, offline."""

    provider = "embedded"

    def __init__(self, backbone: Path):
        self._vision = EmbeddedVision(backbone)
        digest = hashlib.sha256()
        for path in (backbone, HEAD, ITEMS):
            digest.update(path.read_bytes())
        self.model = f"efficientnet-lite0+{digest.hexdigest()[:8]}"

    def look(self, photo: bytes) -> Sight:
        seen = self._vision.look(photo)
        sight = Sight(
            material=f"MATERIAL_{seen.material}",
            item_key=seen.item_key or "",
            confidence=seen.material_confidence,
            unsure=seen.unsure,
            several=seen.several,
            provider=self.provider,
            model=self.model,
        )
        for material, probability in seen.alternatives:
            sight.alternatives.add(material=Material.Value(f"MATERIAL_{material}"), probability=probability)
        return sight
