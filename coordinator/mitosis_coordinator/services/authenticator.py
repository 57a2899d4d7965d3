"""From a token to the principal behind it, cheaply enough for every call."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from mitosis_coordinator.domain.errors import InvalidToken, WrongTokenKind
from mitosis_coordinator.domain.principal import ManagerPrincipal, Principal, UserPrincipal, WorkerPrincipal
from mitosis_coordinator.services.tokens import Claims, TokenAuthority, TokenKind
from mitosis_coordinator.storage import users
from mitosis_coordinator.storage.pool import Database

# How long another coordinator process may go on believing what was changed here.
CACHE_TTL_SECONDS = 5.0
_CACHE_SIZE = 4096


class ResolveManager(Protocol):
    """Finds the manager behind a genuine token."""

    async def __call__(self, manager_id: UUID, token_id: UUID) -> ManagerPrincipal:
        """Return the manager.

        Raises:
            InvalidToken: there is no such manager, or its row names another token.
        """
        ...


class ResolveWorker(Protocol):
    """Finds the independent worker behind a genuine token."""

    async def __call__(self, worker_id: UUID, token_id: UUID) -> WorkerPrincipal:
        """Return the worker.

        Raises:
            InvalidToken: there is no such worker, or its row names another token.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    claims: Claims
    believed_until: float


class Authenticator:
    """Resolves tokens, and remembers the answers for a few seconds.

    A change made through this process is seen at once (`forget`); one made through another when that says so
    (`forget_here`), and within `ttl_seconds` when that was not heard.
    """

    def __init__(
        self,
        database: Database,
        authority: TokenAuthority,
        resolve_manager: ResolveManager,
        resolve_worker: ResolveWorker,
        *,
        ttl_seconds: float = CACHE_TTL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._authority = authority
        self._resolve_manager = resolve_manager
        self._resolve_worker = resolve_worker
        self._ttl_seconds = ttl_seconds
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._forgettings = 0
        self._on_forget: Callable[[UUID], None] = lambda _subject: None

    async def authenticate(self, token: str, accepts: TokenKind) -> Principal:
        """Return who the token belongs to.

        Raises:
            InvalidToken: it is malformed, expired or revoked, or its bearer is gone or disabled.
            WrongTokenKind: it is genuine but of another kind than `accepts`.
            StorageUnavailable: the database does not answer.
        """
        known = self._known.get(token)
        if known is None or known.believed_until <= self._monotonic():
            known = await self._resolve(token, accepts)
        _refuse_other_kind(known.claims, accepts)
        return known.principal

    def forget(self, subject: UUID) -> None:
        """Drop what is remembered about a user, a manager or a worker, after a change; tell the other coordinators."""
        self.forget_here(subject)
        self._on_forget(subject)

    def on_forget(self, tell: Callable[[UUID], None]) -> None:
        """Call `tell` whenever something changed that other coordinators may remember."""
        self._on_forget = tell

    def forget_here(self, subject: UUID) -> None:
        """Drop what this process remembers, after a change made through another."""
        self._forgettings += 1
        for token in [token for token, known in self._known.items() if known.claims.subject == subject]:
            del self._known[token]

    def forget_all(self) -> None:
        """Drop everything that is remembered, after a change to many."""
        self._forgettings += 1
        self._known.clear()

    async def _resolve(self, token: str, accepts: TokenKind) -> _Known:
        claims = self._authority.verify(token)
        _refuse_other_kind(claims, accepts)
        forgettings = self._forgettings
        principal: Principal
        if claims.kind is TokenKind.USER:
            principal = await self._resolve_user(claims)
        elif claims.kind is TokenKind.MANAGER:
            manager = await self._resolve_manager(claims.subject, claims.token_id)
            principal = replace(manager, token_expires_at=claims.expires_at)
        else:
            worker = await self._resolve_worker(claims.subject, claims.token_id)
            principal = replace(worker, token_expires_at=claims.expires_at)
        lifetime = (claims.expires_at - self._authority.now()).total_seconds()
        known = _Known(principal, claims, self._monotonic() + min(self._ttl_seconds, lifetime))
        # What was read before a change was announced must not be remembered after it.
        if forgettings == self._forgettings:
            self._known[token] = known
            self._known.move_to_end(token)
            if len(self._known) > _CACHE_SIZE:
                self._known.popitem(last=False)
        return known

    async def _resolve_user(self, claims: Claims) -> UserPrincipal:
        async with self._database.connection() as connection:
            holder = await users.token_holder(connection, claims.subject)
        if holder is None or holder.disabled:
            raise InvalidToken("the user of this token does not exist or is disabled")
        if claims.issued_at < holder.tokens_valid_after:
            raise InvalidToken("the token was revoked; log in again")
        return holder.principal


def _refuse_other_kind(claims: Claims, accepts: TokenKind) -> None:
    if claims.kind is not accepts:
        raise WrongTokenKind(f"given a {claims.kind.value}'s token; accepts a {accepts.value}'s")
