from buf.validate import validate_pb2 as _validate_pb2
from eco2.recycle_info.v1 import recycle_info_pb2 as _recycle_info_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EraseUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class EraseUserResponse(_message.Message):
    __slots__ = ("removed_count",)
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    removed_count: int
    def __init__(self, removed_count: _Optional[int] = ...) -> None: ...

class ResolveRuleRequest(_message.Message):
    __slots__ = ("item_key", "material", "question", "language_code", "unsure", "region_code")
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    item_key: str
    material: _recycle_info_pb2.Material
    question: str
    language_code: str
    unsure: bool
    region_code: str
    def __init__(self, item_key: _Optional[str] = ..., material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., question: _Optional[str] = ..., language_code: _Optional[str] = ..., unsure: _Optional[bool] = ..., region_code: _Optional[str] = ...) -> None: ...

class ResolveRuleResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: ResolvedRule
    def __init__(self, rule: _Optional[_Union[ResolvedRule, _Mapping]] = ...) -> None: ...

class ResolvedRule(_message.Message):
    __slots__ = ("rule_id", "item_id", "item_key", "item_name", "material", "category_major", "category_middle", "bin", "steps", "warnings", "text", "source_url", "regional", "from_question", "question_confidence", "region_name")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    BIN_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    REGIONAL_FIELD_NUMBER: _ClassVar[int]
    FROM_QUESTION_FIELD_NUMBER: _ClassVar[int]
    QUESTION_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    REGION_NAME_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    item_id: str
    item_key: str
    item_name: str
    material: _recycle_info_pb2.Material
    category_major: str
    category_middle: str
    bin: str
    steps: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    text: str
    source_url: str
    regional: bool
    from_question: bool
    question_confidence: float
    region_name: str
    def __init__(self, rule_id: _Optional[str] = ..., item_id: _Optional[str] = ..., item_key: _Optional[str] = ..., item_name: _Optional[str] = ..., material: _Optional[_Union[_recycle_info_pb2.Material, str]] = ..., category_major: _Optional[str] = ..., category_middle: _Optional[str] = ..., bin: _Optional[str] = ..., steps: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., source_url: _Optional[str] = ..., regional: _Optional[bool] = ..., from_question: _Optional[bool] = ..., question_confidence: _Optional[float] = ..., region_name: _Optional[str] = ...) -> None: ...
