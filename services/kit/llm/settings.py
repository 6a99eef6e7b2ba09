"""Which models a process asks, and what they may cost: a Config that asks any is made of these settings too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from services.kit import cache, config
from services.kit.llm import budget

if TYPE_CHECKING:
    from services.kit.llm.client import Client


@dataclass(frozen=True, kw_only=True)
class Settings:
    # "auto" is openai when there is a key, else embedded: the models that ship with the product.
    model_provider: Literal["auto", "embedded", "openai"] = "auto"
    openai_api_key: str = config.secret(default="")
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-5-mini"
    # "omit" for models that take none.
    openai_reasoning_effort: Literal["omit", "none", "minimal", "low", "medium", "high"] = "low"
    # What one user, and all together, may spend in 24 hours.
    openai_user_tokens: int = 200_000
    openai_all_tokens: int = 10_000_000

    def __post_init__(self):
        if self.model_provider == "openai" and not self.openai_api_key:
            raise SystemExit("configuration: MODEL_PROVIDER=openai needs OPENAI_API_KEY (or OPENAI_API_KEY_FILE)")

    @property
    def provider(self) -> str:
        """What MODEL_PROVIDER comes to: "openai" or "embedded"."""
        if self.model_provider == "auto":
            return "openai" if self.openai_api_key else "embedded"
        return self.model_provider

    def connect(self, redis_url: str) -> Client:
        """A client of the model. redis_url: where what is spent is counted."""
        # Only here: the library costs 40 MB and most of a second, which the embedded provider does without.
        from services.kit.llm.client import Client

        limits = budget.Limits(self.openai_user_tokens, self.openai_all_tokens)
        return Client(
            self.openai_api_key,
            self.openai_base_url,
            self.openai_model,
            budget.Budget(cache.connect(redis_url, budget.DB), limits),
            reasoning_effort="" if self.openai_reasoning_effort == "omit" else self.openai_reasoning_effort,
        )
