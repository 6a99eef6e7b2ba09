"""Stage response_generation: the answer in words."""

from __future__ import annotations

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.waste.v1.internal_pb2 import Completion, Outcome

from workers.ai.providers import Language
from workers.stages import Progress


class ResponseGenerator:
    def __init__(self, language: Language):
        self._language = language

    def run(self, job: AnalysisJob, progress: Progress) -> Outcome:
        reply = self._language.word(job.sight, job.rule, job.language_code, job.user_id)
        progress(90)
        return Outcome(completion=Completion(sight=job.sight, rule=job.rule, reply=reply))
