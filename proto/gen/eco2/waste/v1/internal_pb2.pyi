from buf.validate import validate_pb2 as _validate_pb2
from eco2.pipeline.v1 import messages_pb2 as _messages_pb2
from eco2.recycle_info.v1 import internal_pb2 as _internal_pb2
from eco2.waste.v1 import waste_pb2 as _waste_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordOutcomesRequest(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class RecordOutcomesResponse(_message.Message):
    __slots__ = ("unknown_analysis_ids",)
    UNKNOWN_ANALYSIS_IDS_FIELD_NUMBER: _ClassVar[int]
    unknown_analysis_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_analysis_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("analysis_id", "image", "sight", "rule", "completion", "failure")
    ANALYSIS_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SIGHT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    analysis_id: str
    image: _messages_pb2.CleanImage
    sight: _messages_pb2.Sight
    rule: _internal_pb2.ResolvedRule
    completion: Completion
    failure: _waste_pb2.Failure
    def __init__(self, analysis_id: _Optional[str] = ..., image: _Optional[_Union[_messages_pb2.CleanImage, _Mapping]] = ..., sight: _Optional[_Union[_messages_pb2.Sight, _Mapping]] = ..., rule: _Optional[_Union[_internal_pb2.ResolvedRule, _Mapping]] = ..., completion: _Optional[_Union[Completion, _Mapping]] = ..., failure: _Optional[_Union[_waste_pb2.Failure, _Mapping]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("sight", "rule", "reply")
    SIGHT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    sight: _messages_pb2.Sight
    rule: _internal_pb2.ResolvedRule
    reply: _messages_pb2.Reply
    def __init__(self, sight: _Optional[_Union[_messages_pb2.Sight, _Mapping]] = ..., rule: _Optional[_Union[_internal_pb2.ResolvedRule, _Mapping]] = ..., reply: _Optional[_Union[_messages_pb2.Reply, _Mapping]] = ...) -> None: ...

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
