import datetime

from buf.validate import validate_pb2 as _validate_pb2
from eco2.recycle_info.v1 import internal_pb2 as _internal_pb2
from eco2.recycle_info.v1 import recycle_info_pb2 as _recycle_info_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_USER_INPUT: _ClassVar[Stage]
    STAGE_VISION_ANALYSIS: _ClassVar[Stage]
    STAGE_RULE_RETRIEVAL: _ClassVar[Stage]
    STAGE_RESPONSE_GENERATION: _ClassVar[Stage]
STAGE_UNSPECIFIED: Stage
STAGE_USER_INPUT: Stage
STAGE_VISION_ANALYSIS: Stage
STAGE_RULE_RETRIEVAL: Stage
STAGE_RESPONSE_GENERATION: Stage

class AnalysisJob(_message.Message):
    __slots__ = ("analysis_id", "user_id", "image_id", "image_key", "question", "language_code", "create_time", "image", "sight", "rule", "region_code")
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_KEY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SIGHT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    user_id: str
    image_id: str
    image_key: str
    question: str
    language_code: str
    create_time: _timestamp_pb2.Timestamp
    image: CleanImage
    sight: Sight
    rule: _internal_pb2.ResolvedRule
    region_code: str
    def __init__(self, analysis_id: _Optional[str] = ..., user_id: _Optional[str] = ..., image_id: _Optional[str] = ..., image_key: _Optional[str] = ..., question: _Optional[str] = ..., language_code: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image: _Optional[_Union[CleanImage, _Mapping]] = ..., sight: _Optional[_Union[Sight, _Mapping]] = ..., rule: _Optional[_Union[_internal_pb2.ResolvedRule, _Mapping]] = ..., region_code: _Optional[str] = ...) -> None: ...

class CleanImage(_message.Message):
    __slots__ = ("object_key", "thumbnail_key", "sha256", "width", "height", "size_bytes")
    OBJECT_KEY_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_KEY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    object_key: str
    thumbnail_key: str
    sha256: bytes
    width: int
    height: int
    size_bytes: int
    def __init__(self, object_key: _Optional[str] = ..., thumbnail_key: _Optional[str] = ..., sha256: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Sight(_message.Message):
    __slots__ = ("material", "item_key", "confidence", "unsure", "alternatives", "provider", "model", "cached", "prompt_version", "several")
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FIELD_NUMBER: _ClassVar[int]
    material: _recycle_info_pb2.Material
    item_key: str
    confidence: float
    unsure: bool
    alternatives: _containers.RepeatedCompositeFieldContainer[MaterialGuess]
    provider: str
    model: str
    cached: bool
    prompt_version: str
    several: bool
    def __init__(self, material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., item_key: _Optional[str] = ..., confidence: _Optional[float] = ..., unsure: _Optional[bool] = ..., alternatives: _Optional[_Iterable[_Union[MaterialGuess, _Mapping]]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., cached: _Optional[bool] = ..., prompt_version: _Optional[str] = ..., several: _Optional[bool] = ...) -> None: ...

class MaterialGuess(_message.Message):
    __slots__ = ("material", "probability")
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    material: _recycle_info_pb2.Material
    probability: float
    def __init__(self, material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., probability: _Optional[float] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("steps", "warnings", "text", "follow_up_question", "provider", "model", "prompt_version", "cached", "fallback_reason")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_UP_QUESTION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    text: str
    follow_up_question: str
    provider: str
    model: str
    prompt_version: str
    cached: bool
    fallback_reason: str
    def __init__(self, steps: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., follow_up_question: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., prompt_version: _Optional[str] = ..., cached: _Optional[bool] = ..., fallback_reason: _Optional[str] = ...) -> None: ...
