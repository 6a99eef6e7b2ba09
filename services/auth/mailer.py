"""Mail, by SMTP to a relay that knows the way."""

from __future__ import annotations

import contextlib
import dataclasses
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal

from services.kit.errors import Unavailable

Security = Literal["starttls", "tls", "none"]
TIMEOUT_S = 10.0


class Undeliverable(Exception):
    """The relay will never take this mail."""


@dataclasses.dataclass(frozen=True)
class Mailer:
    """sender: an address. username: empty for a relay that asks for none. security: `none` only for a relay on a
    network that is safe itself."""

    host: str
    port: int
    sender: str
    security: Security
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)

    def send(self, to: str, subject: str, text: str) -> None:
        """Fails with Unavailable (MAIL_UNAVAILABLE) when trying again makes sense, else with Undeliverable."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, to, subject
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self.sender.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text)
        try:
            with self._connection() as relay:
                relay.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code = max(code for code, _ in error.recipients.values())
            if code >= 500:
                raise Undeliverable(f"the relay refuses the recipient: {code}") from error
            raise Unavailable("the mail relay refuses for now", reason="MAIL_UNAVAILABLE") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable("the mail relay cannot be used", reason="MAIL_UNAVAILABLE") from error

    @contextlib.contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        if self.security == "tls":
            context = ssl.create_default_context()
            connection = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        else:
            connection = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        with connection:
            if self.security == "starttls":
                connection.starttls(context=ssl.create_default_context())
            if self.username:
                connection.login(self.username, self.password)
            yield connection
