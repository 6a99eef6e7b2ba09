import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CenterKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CENTER_KIND_UNSPECIFIED: _ClassVar[CenterKind]
    CENTER_KIND_RECYCLING_CENTER: _ClassVar[CenterKind]
    CENTER_KIND_MEDICINE: _ClassVar[CenterKind]
    CENTER_KIND_BATTERY: _ClassVar[CenterKind]
    CENTER_KIND_LAMP: _ClassVar[CenterKind]
    CENTER_KIND_ELECTRONICS: _ClassVar[CenterKind]
    CENTER_KIND_CLOTHING: _ClassVar[CenterKind]
    CENTER_KIND_PAPER_PACK: _ClassVar[CenterKind]
    CENTER_KIND_ZERO_WASTE_SHOP: _ClassVar[CenterKind]

class OpenState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPEN_STATE_UNSPECIFIED: _ClassVar[OpenState]
    OPEN_STATE_OPEN: _ClassVar[OpenState]
    OPEN_STATE_CLOSED: _ClassVar[OpenState]
    OPEN_STATE_UNKNOWN: _ClassVar[OpenState]

class Day(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DAY_UNSPECIFIED: _ClassVar[Day]
    DAY_MONDAY: _ClassVar[Day]
    DAY_TUESDAY: _ClassVar[Day]
    DAY_WEDNESDAY: _ClassVar[Day]
    DAY_THURSDAY: _ClassVar[Day]
    DAY_FRIDAY: _ClassVar[Day]
    DAY_SATURDAY: _ClassVar[Day]
    DAY_SUNDAY: _ClassVar[Day]
    DAY_HOLIDAY: _ClassVar[Day]

class RegionTopic(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REGION_TOPIC_UNSPECIFIED: _ClassVar[RegionTopic]
    REGION_TOPIC_HOURS: _ClassVar[RegionTopic]
    REGION_TOPIC_DAYS: _ClassVar[RegionTopic]
    REGION_TOPIC_FOOD_WASTE: _ClassVar[RegionTopic]
    REGION_TOPIC_PAID_BAG: _ClassVar[RegionTopic]
    REGION_TOPIC_BULKY_WASTE: _ClassVar[RegionTopic]
    REGION_TOPIC_ITEM: _ClassVar[RegionTopic]
CENTER_KIND_UNSPECIFIED: CenterKind
CENTER_KIND_RECYCLING_CENTER: CenterKind
CENTER_KIND_MEDICINE: CenterKind
CENTER_KIND_BATTERY: CenterKind
CENTER_KIND_LAMP: CenterKind
CENTER_KIND_ELECTRONICS: CenterKind
CENTER_KIND_CLOTHING: CenterKind
CENTER_KIND_PAPER_PACK: CenterKind
CENTER_KIND_ZERO_WASTE_SHOP: CenterKind
OPEN_STATE_UNSPECIFIED: OpenState
OPEN_STATE_OPEN: OpenState
OPEN_STATE_CLOSED: OpenState
OPEN_STATE_UNKNOWN: OpenState
DAY_UNSPECIFIED: Day
DAY_MONDAY: Day
DAY_TUESDAY: Day
DAY_WEDNESDAY: Day
DAY_THURSDAY: Day
DAY_FRIDAY: Day
DAY_SATURDAY: Day
DAY_SUNDAY: Day
DAY_HOLIDAY: Day
REGION_TOPIC_UNSPECIFIED: RegionTopic
REGION_TOPIC_HOURS: RegionTopic
REGION_TOPIC_DAYS: RegionTopic
REGION_TOPIC_FOOD_WASTE: RegionTopic
REGION_TOPIC_PAID_BAG: RegionTopic
REGION_TOPIC_BULKY_WASTE: RegionTopic
REGION_TOPIC_ITEM: RegionTopic

class Place(_message.Message):
    __slots__ = ("place_id", "name", "address", "latitude", "longitude", "is_default", "create_time")
    PLACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    place_id: str
    name: str
    address: str
    latitude: float
    longitude: float
    is_default: bool
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, place_id: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., is_default: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Center(_message.Message):
    __slots__ = ("center_id", "name", "address", "latitude", "longitude", "phone", "website_url", "collections", "opening_hours", "open_state", "distance_m", "region_code", "source", "source_url")
    CENTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    WEBSITE_URL_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    OPENING_HOURS_FIELD_NUMBER: _ClassVar[int]
    OPEN_STATE_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_M_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    center_id: str
    name: str
    address: str
    latitude: float
    longitude: float
    phone: str
    website_url: str
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    opening_hours: OpeningHours
    open_state: OpenState
    distance_m: float
    region_code: str
    source: str
    source_url: str
    def __init__(self, center_id: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., phone: _Optional[str] = ..., website_url: _Optional[str] = ..., collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., opening_hours: _Optional[_Union[OpeningHours, _Mapping]] = ..., open_state: _Optional[_Union[OpenState, str]] = ..., distance_m: _Optional[float] = ..., region_code: _Optional[str] = ..., source: _Optional[str] = ..., source_url: _Optional[str] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("kind", "items", "note", "source_url", "confirmed")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    kind: CenterKind
    items: str
    note: str
    source_url: str
    confirmed: bool
    def __init__(self, kind: _Optional[_Union[CenterKind, str]] = ..., items: _Optional[str] = ..., note: _Optional[str] = ..., source_url: _Optional[str] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class OpeningHours(_message.Message):
    __slots__ = ("days", "note")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedCompositeFieldContainer[DayHours]
    note: str
    def __init__(self, days: _Optional[_Iterable[_Union[DayHours, _Mapping]]] = ..., note: _Optional[str] = ...) -> None: ...

class DayHours(_message.Message):
    __slots__ = ("day", "spans")
    DAY_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    day: Day
    spans: _containers.RepeatedCompositeFieldContainer[TimeSpan]
    def __init__(self, day: _Optional[_Union[Day, str]] = ..., spans: _Optional[_Iterable[_Union[TimeSpan, _Mapping]]] = ...) -> None: ...

class TimeSpan(_message.Message):
    __slots__ = ("open", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: str
    close: str
    def __init__(self, open: _Optional[str] = ..., close: _Optional[str] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("region_code", "name")
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    region_code: str
    name: str
    def __init__(self, region_code: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RegionPolicy(_message.Message):
    __slots__ = ("region", "website_url", "department", "phone", "rules", "check_date")
    REGION_FIELD_NUMBER: _ClassVar[int]
    WEBSITE_URL_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    CHECK_DATE_FIELD_NUMBER: _ClassVar[int]
    region: Region
    website_url: str
    department: str
    phone: str
    rules: _containers.RepeatedCompositeFieldContainer[RegionRule]
    check_date: str
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ..., website_url: _Optional[str] = ..., department: _Optional[str] = ..., phone: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[RegionRule, _Mapping]]] = ..., check_date: _Optional[str] = ...) -> None: ...

class RegionRule(_message.Message):
    __slots__ = ("topic", "text_ko", "text_en", "source_url")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TEXT_KO_FIELD_NUMBER: _ClassVar[int]
    TEXT_EN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    topic: RegionTopic
    text_ko: str
    text_en: str
    source_url: str
    def __init__(self, topic: _Optional[_Union[RegionTopic, str]] = ..., text_ko: _Optional[str] = ..., text_en: _Optional[str] = ..., source_url: _Optional[str] = ...) -> None: ...

class ListPlacesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPlacesResponse(_message.Message):
    __slots__ = ("places", "next_page_token")
    PLACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    places: _containers.RepeatedCompositeFieldContainer[Place]
    next_page_token: str
    def __init__(self, places: _Optional[_Iterable[_Union[Place, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreatePlaceRequest(_message.Message):
    __slots__ = ("name", "address", "latitude", "longitude", "is_default", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    latitude: float
    longitude: float
    is_default: bool
    request_id: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., is_default: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePlaceResponse(_message.Message):
    __slots__ = ("place",)
    PLACE_FIELD_NUMBER: _ClassVar[int]
    place: Place
    def __init__(self, place: _Optional[_Union[Place, _Mapping]] = ...) -> None: ...

class GetPlaceRequest(_message.Message):
    __slots__ = ("place_id",)
    PLACE_ID_FIELD_NUMBER: _ClassVar[int]
    place_id: str
    def __init__(self, place_id: _Optional[str] = ...) -> None: ...

class GetPlaceResponse(_message.Message):
    __slots__ = ("place",)
    PLACE_FIELD_NUMBER: _ClassVar[int]
    place: Place
    def __init__(self, place: _Optional[_Union[Place, _Mapping]] = ...) -> None: ...

class UpdatePlaceRequest(_message.Message):
    __slots__ = ("place_id", "place", "update_mask")
    PLACE_ID_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    place_id: str
    place: Place
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, place_id: _Optional[str] = ..., place: _Optional[_Union[Place, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdatePlaceResponse(_message.Message):
    __slots__ = ("place",)
    PLACE_FIELD_NUMBER: _ClassVar[int]
    place: Place
    def __init__(self, place: _Optional[_Union[Place, _Mapping]] = ...) -> None: ...

class DeletePlaceRequest(_message.Message):
    __slots__ = ("place_id",)
    PLACE_ID_FIELD_NUMBER: _ClassVar[int]
    place_id: str
    def __init__(self, place_id: _Optional[str] = ...) -> None: ...

class DeletePlaceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNearestCentersRequest(_message.Message):
    __slots__ = ("latitude", "longitude", "kind", "radius_m", "open_now", "page_size", "page_token")
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RADIUS_M_FIELD_NUMBER: _ClassVar[int]
    OPEN_NOW_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    latitude: float
    longitude: float
    kind: CenterKind
    radius_m: int
    open_now: bool
    page_size: int
    page_token: str
    def __init__(self, latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., kind: _Optional[_Union[CenterKind, str]] = ..., radius_m: _Optional[int] = ..., open_now: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNearestCentersResponse(_message.Message):
    __slots__ = ("centers", "next_page_token")
    CENTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    centers: _containers.RepeatedCompositeFieldContainer[Center]
    next_page_token: str
    def __init__(self, centers: _Optional[_Iterable[_Union[Center, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetCenterRequest(_message.Message):
    __slots__ = ("center_id",)
    CENTER_ID_FIELD_NUMBER: _ClassVar[int]
    center_id: str
    def __init__(self, center_id: _Optional[str] = ...) -> None: ...

class GetCenterResponse(_message.Message):
    __slots__ = ("center",)
    CENTER_FIELD_NUMBER: _ClassVar[int]
    center: Center
    def __init__(self, center: _Optional[_Union[Center, _Mapping]] = ...) -> None: ...

class LocateRegionRequest(_message.Message):
    __slots__ = ("latitude", "longitude")
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    latitude: float
    longitude: float
    def __init__(self, latitude: _Optional[float] = ..., longitude: _Optional[float] = ...) -> None: ...

class LocateRegionResponse(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: Region
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ...) -> None: ...

class GetRegionPolicyRequest(_message.Message):
    __slots__ = ("region_code",)
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    region_code: str
    def __init__(self, region_code: _Optional[str] = ...) -> None: ...

class GetRegionPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: RegionPolicy
    def __init__(self, policy: _Optional[_Union[RegionPolicy, _Mapping]] = ...) -> None: ...
