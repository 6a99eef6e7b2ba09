from buf.validate import validate_pb2 as _validate_pb2
from eco2.locations.v1 import locations_pb2 as _locations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Coordinates(_message.Message):
    __slots__ = ("latitude", "longitude")
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    latitude: float
    longitude: float
    def __init__(self, latitude: _Optional[float] = ..., longitude: _Optional[float] = ...) -> None: ...

class Near(_message.Message):
    __slots__ = ("coordinates", "user_id")
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    coordinates: Coordinates
    user_id: str
    def __init__(self, coordinates: _Optional[_Union[Coordinates, _Mapping]] = ..., user_id: _Optional[str] = ...) -> None: ...

class FindCentersRequest(_message.Message):
    __slots__ = ("near", "kind", "open_now", "radius_m", "limit")
    NEAR_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OPEN_NOW_FIELD_NUMBER: _ClassVar[int]
    RADIUS_M_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    near: Near
    kind: _locations_pb2.CenterKind
    open_now: bool
    radius_m: int
    limit: int
    def __init__(self, near: _Optional[_Union[Near, _Mapping]] = ..., kind: _Optional[_Union[_locations_pb2.CenterKind, str]] = ..., open_now: _Optional[bool] = ..., radius_m: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class FindCentersResponse(_message.Message):
    __slots__ = ("centers",)
    CENTERS_FIELD_NUMBER: _ClassVar[int]
    centers: _containers.RepeatedCompositeFieldContainer[_locations_pb2.Center]
    def __init__(self, centers: _Optional[_Iterable[_Union[_locations_pb2.Center, _Mapping]]] = ...) -> None: ...

class FindRegionPolicyRequest(_message.Message):
    __slots__ = ("near", "question")
    NEAR_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    near: Near
    question: str
    def __init__(self, near: _Optional[_Union[Near, _Mapping]] = ..., question: _Optional[str] = ...) -> None: ...

class FindRegionPolicyResponse(_message.Message):
    __slots__ = ("region", "policy")
    REGION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    region: _locations_pb2.Region
    policy: _locations_pb2.RegionPolicy
    def __init__(self, region: _Optional[_Union[_locations_pb2.Region, _Mapping]] = ..., policy: _Optional[_Union[_locations_pb2.RegionPolicy, _Mapping]] = ...) -> None: ...

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
