"""Choosing a new password by mail: the request is kept, and a thread of its own finds the account and sends.

The caller's answer comes before anybody looks whether the address belongs to an account, so neither its words nor its
time tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from uuid_utils.compat import uuid7

from services.auth import reset_store, tokens
from services.auth.mailer import Mailer, Undeliverable
from services.kit.database import Database

log = logging.getLogger(__name__)

_SUBJECT = "[이코에코] 비밀번호 재설정 · Choose a new password"
_TEXT = """\
{username} 님, 아래 주소에서 새 비밀번호를 정하세요. 30분 동안 한 번만 쓸 수 있습니다.
직접 요청하지 않으셨다면 이 메일을 무시하세요. 비밀번호는 바뀌지 않습니다.

Hello {username}, choose a new password here. The link works once, for 30 minutes.
If you did not ask for this, ignore this mail; your password stays as it is.

{link}
"""


class Resets:
    """page: the URL of the page that asks for the new password. The token comes behind its #, which no server and no
    log ever sees."""

    def __init__(self, db: Database, mailer: Mailer, key: tokens.TokenKey, page: str, clock: Callable[[], datetime]):
        self._db, self._mailer, self._key, self._page, self._clock = db, mailer, key, page, clock

    def request(self, email: str) -> None:
        reset_id, now = uuid7(), self._clock()
        digest = tokens.digest(self._key.reset_token(reset_id))
        with self._db.writing() as tx:
            reset_store.create_reset(tx, reset_id, digest, email, now, now + tokens.RESET_LIFETIME)

    def send(self) -> bool:
        """Send one mail that is due; False when none is. The same request sent twice, after a crash in between, has the
        same link. Fails with Unavailable (MAIL_UNAVAILABLE); it is due again later."""
        with self._db.writing() as tx:
            due = reset_store.take_reset(tx, self._clock())
            # To the address that the account has, not to one that only compares equal to it.
            to = reset_store.find_recipient(tx, due.user_id) if due and due.user_id else None
        if due is None:
            return False
        if to:
            link = f"{self._page}#{urlencode({'token': self._key.reset_token(due.id)})}"
            try:
                self._mailer.send(to.email, _SUBJECT, _TEXT.format(username=to.username, link=link))
            except Undeliverable as error:
                log.warning("a password mail is given up: %s", error)
        with self._db.writing() as tx:
            reset_store.finish_reset(tx, due.id)
        return True
