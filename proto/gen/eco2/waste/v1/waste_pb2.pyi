import datetime

from buf.validate import validate_pb2 as _validate_pb2
from eco2.recycle_info.v1 import recycle_info_pb2 as _recycle_info_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AnalysisState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANALYSIS_STATE_UNSPECIFIED: _ClassVar[AnalysisState]
    ANALYSIS_STATE_QUEUED: _ClassVar[AnalysisState]
    ANALYSIS_STATE_RUNNING: _ClassVar[AnalysisState]
    ANALYSIS_STATE_SUCCEEDED: _ClassVar[AnalysisState]
    ANALYSIS_STATE_FAILED: _ClassVar[AnalysisState]
    ANALYSIS_STATE_CANCELLED: _ClassVar[AnalysisState]
ANALYSIS_STATE_UNSPECIFIED: AnalysisState
ANALYSIS_STATE_QUEUED: AnalysisState
ANALYSIS_STATE_RUNNING: AnalysisState
ANALYSIS_STATE_SUCCEEDED: AnalysisState
ANALYSIS_STATE_FAILED: AnalysisState
ANALYSIS_STATE_CANCELLED: AnalysisState

class Image(_message.Message):
    __slots__ = ("image_id", "content_type", "size_bytes", "create_time")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    content_type: str
    size_bytes: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, image_id: _Optional[str] = ..., content_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("url", "method", "headers", "expire_time")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    url: str
    method: str
    headers: _containers.ScalarMap[str, str]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, url: _Optional[str] = ..., method: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Analysis(_message.Message):
    __slots__ = ("analysis_id", "image_id", "state", "progress", "stage", "question", "create_time", "complete_time", "failure", "result", "image_url", "thumbnail_url", "feedback", "region_code")
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URL_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_URL_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    image_id: str
    state: AnalysisState
    progress: int
    stage: str
    question: str
    create_time: _timestamp_pb2.Timestamp
    complete_time: _timestamp_pb2.Timestamp
    failure: Failure
    result: AnalysisResult
    image_url: str
    thumbnail_url: str
    feedback: Feedback
    region_code: str
    def __init__(self, analysis_id: _Optional[str] = ..., image_id: _Optional[str] = ..., state: _Optional[_Union[AnalysisState, str]] = ..., progress: _Optional[int] = ..., stage: _Optional[str] = ..., question: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., result: _Optional[_Union[AnalysisResult, _Mapping]] = ..., image_url: _Optional[str] = ..., thumbnail_url: _Optional[str] = ..., feedback: _Optional[_Union[Feedback, _Mapping]] = ..., region_code: _Optional[str] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("correct", "comment", "true_material", "true_category", "true_item_id", "update_time")
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    TRUE_MATERIAL_FIELD_NUMBER: _ClassVar[int]
    TRUE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TRUE_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    correct: bool
    comment: str
    true_material: _recycle_info_pb2.Material
    true_category: str
    true_item_id: str
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, correct: _Optional[bool] = ..., comment: _Optional[str] = ..., true_material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., true_category: _Optional[str] = ..., true_item_id: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "retry_time")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retry_time: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AnalysisResult(_message.Message):
    __slots__ = ("material", "item_id", "item_name", "category_major", "category_middle", "confidence", "follow_up_question", "advice", "rule_id", "source_url", "provider", "cached", "bin", "model", "prompt_version", "region_name")
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_UP_QUESTION_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    BIN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    REGION_NAME_FIELD_NUMBER: _ClassVar[int]
    material: _recycle_info_pb2.Material
    item_id: str
    item_name: str
    category_major: str
    category_middle: str
    confidence: float
    follow_up_question: str
    advice: Advice
    rule_id: str
    source_url: str
    provider: str
    cached: bool
    bin: str
    model: str
    prompt_version: str
    region_name: str
    def __init__(self, material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., item_id: _Optional[str] = ..., item_name: _Optional[str] = ..., category_major: _Optional[str] = ..., category_middle: _Optional[str] = ..., confidence: _Optional[float] = ..., follow_up_question: _Optional[str] = ..., advice: _Optional[_Union[Advice, _Mapping]] = ..., rule_id: _Optional[str] = ..., source_url: _Optional[str] = ..., provider: _Optional[str] = ..., cached: _Optional[bool] = ..., bin: _Optional[str] = ..., model: _Optional[str] = ..., prompt_version: _Optional[str] = ..., region_name: _Optional[str] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("steps", "warnings", "text", "provider", "model", "prompt_version", "fallback_reason")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    text: str
    provider: str
    model: str
    prompt_version: str
    fallback_reason: str
    def __init__(self, steps: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., prompt_version: _Optional[str] = ..., fallback_reason: _Optional[str] = ...) -> None: ...

class CreateImageRequest(_message.Message):
    __slots__ = ("content_type", "size_bytes", "sha256")
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    content_type: str
    size_bytes: int
    sha256: bytes
    def __init__(self, content_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class CreateImageResponse(_message.Message):
    __slots__ = ("image", "upload")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    image: Image
    upload: Upload
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class CreateAnalysisRequest(_message.Message):
    __slots__ = ("image_id", "question", "request_id", "language_code", "region_code")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    question: str
    request_id: str
    language_code: str
    region_code: str
    def __init__(self, image_id: _Optional[str] = ..., question: _Optional[str] = ..., request_id: _Optional[str] = ..., language_code: _Optional[str] = ..., region_code: _Optional[str] = ...) -> None: ...

class CreateAnalysisResponse(_message.Message):
    __slots__ = ("analysis",)
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    analysis: Analysis
    def __init__(self, analysis: _Optional[_Union[Analysis, _Mapping]] = ...) -> None: ...

class GetAnalysisRequest(_message.Message):
    __slots__ = ("analysis_id",)
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    def __init__(self, analysis_id: _Optional[str] = ...) -> None: ...

class GetAnalysisResponse(_message.Message):
    __slots__ = ("analysis",)
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    analysis: Analysis
    def __init__(self, analysis: _Optional[_Union[Analysis, _Mapping]] = ...) -> None: ...

class ListAnalysesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state", "material", "category_major", "category_middle", "item_id", "after_time", "before_time")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: AnalysisState
    material: _recycle_info_pb2.Material
    category_major: str
    category_middle: str
    item_id: str
    after_time: _timestamp_pb2.Timestamp
    before_time: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[AnalysisState, str]] = ..., material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., category_major: _Optional[str] = ..., category_middle: _Optional[str] = ..., item_id: _Optional[str] = ..., after_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListAnalysesResponse(_message.Message):
    __slots__ = ("analyses", "next_page_token")
    ANALYSES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    analyses: _containers.RepeatedCompositeFieldContainer[Analysis]
    next_page_token: str
    def __init__(self, analyses: _Optional[_Iterable[_Union[Analysis, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteAnalysisRequest(_message.Message):
    __slots__ = ("analysis_id",)
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    def __init__(self, analysis_id: _Optional[str] = ...) -> None: ...

class DeleteAnalysisResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelAnalysisRequest(_message.Message):
    __slots__ = ("analysis_id",)
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    def __init__(self, analysis_id: _Optional[str] = ...) -> None: ...

class CancelAnalysisResponse(_message.Message):
    __slots__ = ("analysis",)
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    analysis: Analysis
    def __init__(self, analysis: _Optional[_Union[Analysis, _Mapping]] = ...) -> None: ...

class GetStatisticsRequest(_message.Message):
    __slots__ = ("after_time", "before_time")
    AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    after_time: _timestamp_pb2.Timestamp
    before_time: _timestamp_pb2.Timestamp
    def __init__(self, after_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetStatisticsResponse(_message.Message):
    __slots__ = ("total_count", "by_state", "by_material", "by_category", "by_month")
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    BY_STATE_FIELD_NUMBER: _ClassVar[int]
    BY_MATERIAL_FIELD_NUMBER: _ClassVar[int]
    BY_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    BY_MONTH_FIELD_NUMBER: _ClassVar[int]
    total_count: int
    by_state: _containers.RepeatedCompositeFieldContainer[StateCount]
    by_material: _containers.RepeatedCompositeFieldContainer[MaterialCount]
    by_category: _containers.RepeatedCompositeFieldContainer[CategoryCount]
    by_month: _containers.RepeatedCompositeFieldContainer[MonthCount]
    def __init__(self, total_count: _Optional[int] = ..., by_state: _Optional[_Iterable[_Union[StateCount, _Mapping]]] = ..., by_material: _Optional[_Iterable[_Union[MaterialCount, _Mapping]]] = ..., by_category: _Optional[_Iterable[_Union[CategoryCount, _Mapping]]] = ..., by_month: _Optional[_Iterable[_Union[MonthCount, _Mapping]]] = ...) -> None: ...

class StateCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: AnalysisState
    count: int
    def __init__(self, state: _Optional[_Union[AnalysisState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class MaterialCount(_message.Message):
    __slots__ = ("material", "count")
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    material: _recycle_info_pb2.Material
    count: int
    def __init__(self, material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., count: _Optional[int] = ...) -> None: ...

class CategoryCount(_message.Message):
    __slots__ = ("category_major", "count")
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    category_major: str
    count: int
    def __init__(self, category_major: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class MonthCount(_message.Message):
    __slots__ = ("month", "count")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    month: str
    count: int
    def __init__(self, month: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class WaitAnalysisRequest(_message.Message):
    __slots__ = ("analysis_id", "timeout_s")
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    timeout_s: int
    def __init__(self, analysis_id: _Optional[str] = ..., timeout_s: _Optional[int] = ...) -> None: ...

class WaitAnalysisResponse(_message.Message):
    __slots__ = ("analysis",)
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    analysis: Analysis
    def __init__(self, analysis: _Optional[_Union[Analysis, _Mapping]] = ...) -> None: ...

class WatchAnalysisRequest(_message.Message):
    __slots__ = ("analysis_id",)
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    def __init__(self, analysis_id: _Optional[str] = ...) -> None: ...

class WatchAnalysisResponse(_message.Message):
    __slots__ = ("analysis", "done")
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    analysis: Analysis
    done: bool
    def __init__(self, analysis: _Optional[_Union[Analysis, _Mapping]] = ..., done: _Optional[bool] = ...) -> None: ...

class CreateFeedbackRequest(_message.Message):
    __slots__ = ("analysis_id", "correct", "comment", "true_material", "true_category", "true_item_id")
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    TRUE_MATERIAL_FIELD_NUMBER: _ClassVar[int]
    TRUE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TRUE_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    correct: bool
    comment: str
    true_material: _recycle_info_pb2.Material
    true_category: str
    true_item_id: str
    def __init__(self, analysis_id: _Optional[str] = ..., correct: _Optional[bool] = ..., comment: _Optional[str] = ..., true_material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., true_category: _Optional[str] = ..., true_item_id: _Optional[str] = ...) -> None: ...

class CreateFeedbackResponse(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: Feedback
    def __init__(self, feedback: _Optional[_Union[Feedback, _Mapping]] = ...) -> None: ...
