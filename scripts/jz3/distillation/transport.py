"""One POST to an OpenAI-compatible endpoint: how it ended, never an exception."""

import urllib.request
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .classify import Ended
from .endpoint import Teacher, is_loopback

LARGEST = 16_000_000  # bytes of a response that are read


class Transport:
    """Connections to a teacher's endpoint (`async with`).

    No redirect is followed (it would carry the key elsewhere); proxies are those of the
    environment, none on this machine.
    """

    def __init__(self, teacher: Teacher):
        self.teacher = teacher
        self.url = teacher.base_url.rstrip("/")
        self.proxy = None if is_loopback(self.url) else _proxy(self.url)

    async def __aenter__(self) -> "Transport":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),  # servers close at 5 s
            timeout=aiohttp.ClientTimeout(
                total=self.teacher.timeout, sock_connect=min(30.0, self.teacher.timeout)
            ),
            headers={"Authorization": f"Bearer {self.teacher.api_key}"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, wire: bytes) -> Ended:
        """Ask for a chat completion; wire: the request's body."""
        return await self.call("POST", "/chat/completions", wire)

    async def call(self, method: str, path: str, data: Any = None, limit: int = LARGEST) -> Ended:
        """Any call below the base URL; data: JSON as bytes, or a form; limit: bytes of response."""
        headers = {"Content-Type": "application/json"} if isinstance(data, bytes) else {}
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers, proxy=self.proxy,
                allow_redirects=False,
            ) as response:  # fmt: skip
                content = bytearray()
                async for part in response.content.iter_any():
                    content += part
                    if len(content) > limit:
                        return Ended(fault="oversized", detail=f"over {limit:,} bytes")
                return Ended(response.status, dict(response.headers), bytes(content))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError,
                aiohttp.InvalidURL) as error:  # fmt: skip
            return Ended(fault="never_sent", detail=type(error).__name__)
        except TimeoutError:
            return Ended(fault="timeout", detail=f"{self.teacher.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Ended(fault="broken", detail=type(error).__name__)
        except Exception as error:  # whatever else a server can bring about
            return Ended(fault="defect", detail=f"{type(error).__name__}: {error}")


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
