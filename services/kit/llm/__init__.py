"""Models behind an OpenAI-compatible API: a client with deadlines, a breaker and a token budget.

Every failure is a Fault, and its reason says what happened:

    RESOURCE_EXHAUSTED   MODEL_BUDGET_SPENT      our budget, the user's or everyone's; retry_after_s: when it is new
                         MODEL_BUDGET_HELD       what is left of it is held by calls under way; again in a moment
                         MODEL_RATE_LIMITED      429 for longer than we can wait; retry_after_s: the server's hint
                         MODEL_QUOTA_SPENT       the account upstream is empty
    UNAVAILABLE          MODEL_UNAVAILABLE       5xx, no connection, or one that broke in the middle of an answer
                         MODEL_RESTING           the breaker is open; retry_after_s: until when
    INTERNAL             MODEL_ANSWER_INVALID    the answer is no JSON, or says what its shape does not allow
    DEADLINE_EXCEEDED    MODEL_SLOW              no answer in time
    FAILED_PRECONDITION  MODEL_REFUSED           upstream declines for reasons of content
                         MODEL_MISCONFIGURED     upstream declines us or our request: key, model or parameters

A call is never hedged: the second of two would be paid for too.

The client itself is in services.kit.llm.client, which imports the API's library; nothing else here does.
"""

from services.kit.llm.breaker import Breaker
from services.kit.llm.budget import Budget, Limits
from services.kit.llm.settings import Settings

__all__ = ["Breaker", "Budget", "Limits", "Settings"]
