import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Material(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATERIAL_UNSPECIFIED: _ClassVar[Material]
    MATERIAL_CARDBOARD: _ClassVar[Material]
    MATERIAL_PAPER: _ClassVar[Material]
    MATERIAL_PAPER_PACK: _ClassVar[Material]
    MATERIAL_GLASS: _ClassVar[Material]
    MATERIAL_METAL: _ClassVar[Material]
    MATERIAL_PLASTIC: _ClassVar[Material]
    MATERIAL_VINYL: _ClassVar[Material]
    MATERIAL_STYROFOAM: _ClassVar[Material]
    MATERIAL_TEXTILE: _ClassVar[Material]
    MATERIAL_BATTERY: _ClassVar[Material]
    MATERIAL_LIGHTING: _ClassVar[Material]
    MATERIAL_ELECTRONICS: _ClassVar[Material]
    MATERIAL_FOOD: _ClassVar[Material]
    MATERIAL_WOOD: _ClassVar[Material]
    MATERIAL_CERAMIC: _ClassVar[Material]
    MATERIAL_GENERAL: _ClassVar[Material]
    MATERIAL_UNKNOWN: _ClassVar[Material]
MATERIAL_UNSPECIFIED: Material
MATERIAL_CARDBOARD: Material
MATERIAL_PAPER: Material
MATERIAL_PAPER_PACK: Material
MATERIAL_GLASS: Material
MATERIAL_METAL: Material
MATERIAL_PLASTIC: Material
MATERIAL_VINYL: Material
MATERIAL_STYROFOAM: Material
MATERIAL_TEXTILE: Material
MATERIAL_BATTERY: Material
MATERIAL_LIGHTING: Material
MATERIAL_ELECTRONICS: Material
MATERIAL_FOOD: Material
MATERIAL_WOOD: Material
MATERIAL_CERAMIC: Material
MATERIAL_GENERAL: Material
MATERIAL_UNKNOWN: Material

class Item(_message.Message):
    __slots__ = ("item_id", "key", "name_ko", "name_en", "aliases", "material", "category_major", "category_middle", "rule_id", "guide_ko", "guide_en", "source_url", "regional", "contact", "region_name")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_KO_FIELD_NUMBER: _ClassVar[int]
    NAME_EN_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    GUIDE_KO_FIELD_NUMBER: _ClassVar[int]
    GUIDE_EN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    REGIONAL_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    REGION_NAME_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    key: str
    name_ko: str
    name_en: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    material: Material
    category_major: str
    category_middle: str
    rule_id: str
    guide_ko: Guide
    guide_en: Guide
    source_url: str
    regional: bool
    contact: str
    region_name: str
    def __init__(self, item_id: _Optional[str] = ..., key: _Optional[str] = ..., name_ko: _Optional[str] = ..., name_en: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., material: _Optional[_Union[Material, str]] = ..., category_major: _Optional[str] = ..., category_middle: _Optional[str] = ..., rule_id: _Optional[str] = ..., guide_ko: _Optional[_Union[Guide, _Mapping]] = ..., guide_en: _Optional[_Union[Guide, _Mapping]] = ..., source_url: _Optional[str] = ..., regional: _Optional[bool] = ..., contact: _Optional[str] = ..., region_name: _Optional[str] = ...) -> None: ...

class Guide(_message.Message):
    __slots__ = ("description", "bin", "steps", "do_not", "if_sound", "names")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BIN_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DO_NOT_FIELD_NUMBER: _ClassVar[int]
    IF_SOUND_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    description: str
    bin: str
    steps: _containers.RepeatedScalarFieldContainer[str]
    do_not: _containers.RepeatedScalarFieldContainer[str]
    if_sound: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, description: _Optional[str] = ..., bin: _Optional[str] = ..., steps: _Optional[_Iterable[str]] = ..., do_not: _Optional[_Iterable[str]] = ..., if_sound: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class Situation(_message.Message):
    __slots__ = ("tag", "steps_ko", "steps_en", "moves_to_item_id", "moves_to_name_ko", "moves_to_name_en")
    TAG_FIELD_NUMBER: _ClassVar[int]
    STEPS_KO_FIELD_NUMBER: _ClassVar[int]
    STEPS_EN_FIELD_NUMBER: _ClassVar[int]
    MOVES_TO_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MOVES_TO_NAME_KO_FIELD_NUMBER: _ClassVar[int]
    MOVES_TO_NAME_EN_FIELD_NUMBER: _ClassVar[int]
    tag: str
    steps_ko: _containers.RepeatedScalarFieldContainer[str]
    steps_en: _containers.RepeatedScalarFieldContainer[str]
    moves_to_item_id: str
    moves_to_name_ko: str
    moves_to_name_en: str
    def __init__(self, tag: _Optional[str] = ..., steps_ko: _Optional[_Iterable[str]] = ..., steps_en: _Optional[_Iterable[str]] = ..., moves_to_item_id: _Optional[str] = ..., moves_to_name_ko: _Optional[str] = ..., moves_to_name_en: _Optional[str] = ...) -> None: ...

class ListItemsRequest(_message.Message):
    __slots__ = ("query", "category", "page_size", "page_token", "region_code")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    query: str
    category: str
    page_size: int
    page_token: str
    region_code: str
    def __init__(self, query: _Optional[str] = ..., category: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., region_code: _Optional[str] = ...) -> None: ...

class ListItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("item_id", "region_code")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    region_code: str
    def __init__(self, item_id: _Optional[str] = ..., region_code: _Optional[str] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item", "situations")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SITUATIONS_FIELD_NUMBER: _ClassVar[int]
    item: Item
    situations: _containers.RepeatedCompositeFieldContainer[Situation]
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ..., situations: _Optional[_Iterable[_Union[Situation, _Mapping]]] = ...) -> None: ...

class AskRequest(_message.Message):
    __slots__ = ("question", "region_code")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    question: str
    region_code: str
    def __init__(self, question: _Optional[str] = ..., region_code: _Optional[str] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("answer", "candidates")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    candidates: _containers.RepeatedCompositeFieldContainer[Answer]
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("item_id", "item_name", "category_major", "category_middle", "rule_id", "source_url", "text", "confidence", "region_name")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MAJOR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    REGION_NAME_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    item_name: str
    category_major: str
    category_middle: str
    rule_id: str
    source_url: str
    text: str
    confidence: float
    region_name: str
    def __init__(self, item_id: _Optional[str] = ..., item_name: _Optional[str] = ..., category_major: _Optional[str] = ..., category_middle: _Optional[str] = ..., rule_id: _Optional[str] = ..., source_url: _Optional[str] = ..., text: _Optional[str] = ..., confidence: _Optional[float] = ..., region_name: _Optional[str] = ...) -> None: ...

class SuggestItemsRequest(_message.Message):
    __slots__ = ("query", "page_size", "region_code")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    query: str
    page_size: int
    region_code: str
    def __init__(self, query: _Optional[str] = ..., page_size: _Optional[int] = ..., region_code: _Optional[str] = ...) -> None: ...

class SuggestItemsResponse(_message.Message):
    __slots__ = ("suggestions",)
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    suggestions: _containers.RepeatedCompositeFieldContainer[Suggestion]
    def __init__(self, suggestions: _Optional[_Iterable[_Union[Suggestion, _Mapping]]] = ...) -> None: ...

class Suggestion(_message.Message):
    __slots__ = ("item_id", "name", "item_name", "category_middle")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MIDDLE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    name: str
    item_name: str
    category_middle: str
    def __init__(self, item_id: _Optional[str] = ..., name: _Optional[str] = ..., item_name: _Optional[str] = ..., category_middle: _Optional[str] = ...) -> None: ...

class ListCategoriesRequest(_message.Message):
    __slots__ = ("region_code",)
    REGION_CODE_FIELD_NUMBER: _ClassVar[int]
    region_code: str
    def __init__(self, region_code: _Optional[str] = ...) -> None: ...

class ListCategoriesResponse(_message.Message):
    __slots__ = ("categories",)
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.RepeatedCompositeFieldContainer[Category]
    def __init__(self, categories: _Optional[_Iterable[_Union[Category, _Mapping]]] = ...) -> None: ...

class Category(_message.Message):
    __slots__ = ("name", "item_count", "categories", "name_en")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    NAME_EN_FIELD_NUMBER: _ClassVar[int]
    name: str
    item_count: int
    categories: _containers.RepeatedCompositeFieldContainer[Category]
    name_en: str
    def __init__(self, name: _Optional[str] = ..., item_count: _Optional[int] = ..., categories: _Optional[_Iterable[_Union[Category, _Mapping]]] = ..., name_en: _Optional[str] = ...) -> None: ...

class ListQueriesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQueriesResponse(_message.Message):
    __slots__ = ("queries", "next_page_token")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[Query]
    next_page_token: str
    def __init__(self, queries: _Optional[_Iterable[_Union[Query, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("query_id", "question", "language_code", "item_id", "item_name", "confidence", "create_time")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    question: str
    language_code: str
    item_id: str
    item_name: str
    confidence: float
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, query_id: _Optional[str] = ..., question: _Optional[str] = ..., language_code: _Optional[str] = ..., item_id: _Optional[str] = ..., item_name: _Optional[str] = ..., confidence: _Optional[float] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
