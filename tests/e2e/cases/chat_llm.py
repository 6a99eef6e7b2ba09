"""Cases of talks with the coach."""

import functools
import json

from tests.e2e.cases.case import APART, Case, Person

CHAT = "/api/v1/chat/conversations"
SAID = "우유팩은 어떻게 버려요?"


def conversation_id(person: Person) -> str:
    made = person.http.post(CHAT, json={})
    assert made.status_code == 200, made.text
    return made.json()["conversation"]["conversation_id"]


def conversation(person: Person) -> dict:
    return {"conversation_id": conversation_id(person)}


def conversations(person: Person) -> dict:
    conversation_id(person)
    return {"page_size": 5}


@functools.cache
def answer(person: Person) -> dict:
    """A message of the coach's that is complete."""
    talk = conversation(person)
    said = person.http.post(f"{CHAT}/{talk['conversation_id']}/messages", json={"content": SAID}, timeout=60)
    last = json.loads(said.text.splitlines()[-1])
    assert last["done"], last
    return talk | {"message_id": last["answer"]["message_id"]}


CASES = {
    "ChatLlmService.ListConversations": Case(conversations, ("page_size", -1), others=APART),
    "ChatLlmService.CreateConversation": Case(lambda _: {"title": "우유팩"}, ("title", "x" * 201), others="OK"),
    "ChatLlmService.GetConversation": Case(conversation, ("conversation_id", "7")),
    "ChatLlmService.DeleteConversation": Case(conversation, ("conversation_id", "7")),
    "ChatLlmService.ListMessages": Case(
        lambda me: {"conversation_id": answer(me)["conversation_id"]}, ("page_size", -1)
    ),
    "ChatLlmService.CreateMessage": Case(lambda me: conversation(me) | {"content": SAID}, ("content", " ")),
    "ChatLlmService.GetMessage": Case(answer, ("message_id", "7")),
    "ChatLlmService.WatchMessage": Case(answer, ("message_id", "7")),
    "ChatLlmService.StopMessage": Case(answer, ("message_id", "7")),
    "ChatLlmService.CreateFeedback": Case(lambda me: answer(me) | {"helpful": True}, ("comment", "x" * 1001)),
}
