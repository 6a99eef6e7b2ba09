from buf.validate import validate_pb2 as _validate_pb2
from eco2.tasks.v1 import tasks_pb2 as _tasks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SyncTasksRequest(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_tasks_pb2.Task]
    def __init__(self, tasks: _Optional[_Iterable[_Union[_tasks_pb2.Task, _Mapping]]] = ...) -> None: ...

class SyncTasksResponse(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: int
    def __init__(self, changed: _Optional[int] = ...) -> None: ...

class ListAnyDeadLettersRequest(_message.Message):
    __slots__ = ("list",)
    LIST_FIELD_NUMBER: _ClassVar[int]
    list: _tasks_pb2.ListDeadLettersRequest
    def __init__(self, list: _Optional[_Union[_tasks_pb2.ListDeadLettersRequest, _Mapping]] = ...) -> None: ...

class ListAnyDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[_tasks_pb2.DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[_tasks_pb2.DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetAnyStatisticsRequest(_message.Message):
    __slots__ = ("get",)
    GET_FIELD_NUMBER: _ClassVar[int]
    get: _tasks_pb2.GetStatisticsRequest
    def __init__(self, get: _Optional[_Union[_tasks_pb2.GetStatisticsRequest, _Mapping]] = ...) -> None: ...

class GetAnyStatisticsResponse(_message.Message):
    __slots__ = ("statistics",)
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    statistics: _containers.RepeatedCompositeFieldContainer[_tasks_pb2.TaskStatistics]
    def __init__(self, statistics: _Optional[_Iterable[_Union[_tasks_pb2.TaskStatistics, _Mapping]]] = ...) -> None: ...

class GetAnyDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class GetAnyDeadLetterResponse(_message.Message):
    __slots__ = ("dead_letter",)
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    dead_letter: _tasks_pb2.DeadLetter
    def __init__(self, dead_letter: _Optional[_Union[_tasks_pb2.DeadLetter, _Mapping]] = ...) -> None: ...

class ReplayAnyDeadLettersRequest(_message.Message):
    __slots__ = ("operator", "replay")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    operator: str
    replay: _tasks_pb2.ReplayDeadLettersRequest
    def __init__(self, operator: _Optional[str] = ..., replay: _Optional[_Union[_tasks_pb2.ReplayDeadLettersRequest, _Mapping]] = ...) -> None: ...

class ReplayAnyDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "remaining_count")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[_tasks_pb2.DeadLetter]
    remaining_count: int
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[_tasks_pb2.DeadLetter, _Mapping]]] = ..., remaining_count: _Optional[int] = ...) -> None: ...

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
