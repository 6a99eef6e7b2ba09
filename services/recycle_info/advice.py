"""From an item and what is the matter with it to the advice in words. Pure: all wording comes from the rule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.recycle_info.corpus import UNSOUND, Item

_FRAMES = {
    "ko": {
        "where": "{name}: {bin}",
        "warn": "주의: {text}",
        "moved": "지금 상태라면 '{name}' 기준을 따르세요",
        "contact": "전화 {contact}",
        "regional": "지역마다 다를 수 있으니 지자체 안내를 확인하세요",
        "region": "{region} 기준이에요",
    },
    "en": {
        "where": "{name}: {bin}",
        "warn": "Careful: {text}",
        "moved": "In this state, follow the rule for '{name}'",
        "contact": "Phone {contact}",
        "regional": "Municipalities differ, so check what yours says",
        "region": "This is the rule of {region}",
    },
}


@dataclass(frozen=True)
class Advice:
    """What to do. `item` is the rule that holds in the end; `tags` are the situations that shaped it."""

    item: Item
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    bin: str
    text: str
    tags: tuple[str, ...]


def resolve(items: Mapping[str, Item], key: str, tags: Collection[str], language: str) -> Advice:
    """Advice for items[key] in the situations `tags`, in "ko" or "en".

    A situation may move the thing to another item (a broken bottle is broken glass) and that one may move it
    again; a rule already visited ends the walk. Tags that the rules on the way do not know change nothing but one
    thing: of what is broken, dirty, worn out or swollen nobody is told to give it away.
    Fails with KeyError when there is no such item or language.
    """
    item, visited, preparation, used = items[key], {key}, [], []
    while True:
        fitting = [situation for situation in item["situations"] if situation["tag"] in tags]
        used += [situation["tag"] for situation in fitting]
        preparation += [step for situation in fitting for step in situation[f"steps_{language}"]]
        target = next((situation["move_to"] for situation in fitting if "move_to" in situation), None)
        if target is None or target in visited:
            break
        visited.add(target)
        item = items[target]
    sound = [] if UNSOUND.intersection(tags) else item.get(f"if_sound_{language}", [])
    steps = tuple(dict.fromkeys([*preparation, *sound, *item[f"steps_{language}"]]))
    warnings = tuple(item[f"do_not_{language}"])
    return Advice(
        item=item,
        steps=steps,
        warnings=warnings,
        bin=item[f"bin_{language}"],
        text=_compose(items[key], item, steps, warnings, language),
        tags=tuple(dict.fromkeys(used)),
    )


def _compose(asked: Item, item: Item, steps: tuple[str, ...], warnings: tuple[str, ...], language: str) -> str:
    frames = _FRAMES[language]
    sentences = [frames["where"].format(name=asked[f"name_{language}"], bin=item[f"bin_{language}"])]
    if item is not asked:
        sentences.append(frames["moved"].format(name=item[f"name_{language}"]))
    sentences += steps
    sentences += [frames["warn"].format(text=warning) for warning in warnings[:1]]
    if "contact" in item:
        sentences.append(frames["contact"].format(contact=item["contact"]))
    if "region" in item:
        sentences.append(frames["region"].format(region=item["region"]))
    elif item["regional"]:
        sentences.append(frames["regional"])
    return " ".join(f"{sentence}." for sentence in sentences)
