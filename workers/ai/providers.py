"""What looks at a photo, and what words an answer: two small protocols, chosen by configuration, never by fallback."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from eco2.pipeline.v1.messages_pb2 import Reply, Sight
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule
from eco2.recycle_info.v1.recycle_info_pb2 import Material

from workers.ai.language import EmbeddedLanguage
from workers.ai.vision import HEAD, ITEMS, EmbeddedVision


class Vision(Protocol):
    provider: str
    # These two change whenever the same photo may get another answer, so they are part of what it is cached by.
    model: str
    prompt_version: str

    def look(self, photo: bytes, user_id: str) -> Sight:
        """What a clean photo shows. user_id: whose budget it is. Raises ValueError for bytes that are no photo, and
        the Faults of services.kit.llm."""


class Language(Protocol):
    def word(self, sight: Sight, rule: ResolvedRule, language_code: str, user_id: str) -> Reply:
        """The answer in words, which says no more than the rule. An empty rule means that none was found."""


class EmbeddedEyes:
    """The model in this repository, offline."""

    provider, prompt_version = "embedded", ""

    def __init__(self, backbone: Path):
        self._vision = EmbeddedVision(backbone)
        digest = hashlib.sha256()
        for path in (backbone, HEAD, ITEMS):
            digest.update(path.read_bytes())
        self.model = f"efficientnet-lite+{digest.hexdigest()[:8]}"

    def look(self, photo: bytes, user_id: str) -> Sight:
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


class EmbeddedModels:
    """Both embedded providers."""

    def __init__(self, backbone: Path):
        self.vision, self.language = EmbeddedEyes(backbone), EmbeddedLanguage()

    def close(self) -> None:
        """They hold nothing that must be given back."""
