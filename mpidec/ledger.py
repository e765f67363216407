"""The ledger: messages and payload bytes that one rank sent and received, by account and by neighbor.

Counted is what a rank hands to MPI for another rank: the payload. Not counted is what MPI, TCP and Ethernet add to it.
A collective has no single receiver; what is booked for it is a model, and its rows say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Account = Literal["setup", "init", "iterate", "observe"]
ACCOUNTS: tuple[Account, ...] = ("setup", "init", "iterate", "observe")
COLLECTIVE = "collective"
Library = Mapping[Account, tuple[NDArray[Any], NDArray[Any]]]


class LedgerRow(NamedTuple):
    """What went to and came from one neighbor (a rank, or `collective`) on one account.

    `basis` is `counted`, `modeled` for a collective, or `library` for what only the MPI library's own counters saw, which
    are None where they were not read.
    """

    account: str
    neighbor: int | str
    messages: int
    bytes: int
    received_messages: int
    received_bytes: int
    same_host: bool
    basis: str
    library_messages: int | None = None
    library_bytes: int | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over neighbors; `rounds` is the number of exchanges this rank took part in."""

    rounds: int
    messages: int
    bytes: int
    received_messages: int
    received_bytes: int


class Channel:
    """The counter of one link: every exchange sends the same payload to each destination."""

    def __init__(self, ledger: Ledger, destinations: tuple[int, ...], sources: tuple[int, ...]) -> None:
        self.destinations = destinations
        self.sources = sources
        self._ledger = ledger
        # account -> [exchanges, bytes to each destination, which are also those from each source]
        self.books = {account: [0, 0] for account in ACCOUNTS}

    def count(self, nbytes: int, exchanges: int = 1) -> None:
        """Book so many exchanges: each time `nbytes` to each destination, and as much from each source."""
        book = self.books[self._ledger.account]
        book[0] += exchanges
        book[1] += nbytes * exchanges


class Ledger:
    """All that one rank sent and received in one method's run.

    `local` are the ranks on this rank's own host. `account` is where the next exchange is booked.
    """

    def __init__(self, local: Iterable[int] = ()) -> None:
        self.account: Account = "setup"
        self._local = frozenset(local)
        self._channels: list[Channel] = []
        # account -> [calls, messages, bytes, received messages, received bytes], modeled
        self._collective = {account: [0, 0, 0, 0, 0] for account in ACCOUNTS}

    @contextmanager
    def charge(self, account: Account) -> Iterator[None]:
        """Book on `account` inside the block."""
        before, self.account = self.account, account
        try:
            yield
        finally:
            self.account = before

    def channel(self, destinations: tuple[int, ...], sources: tuple[int, ...]) -> Channel:
        """A counter for a link to `destinations` and from `sources` (ranks)."""
        channel = Channel(self, destinations, sources)
        self._channels.append(channel)
        return channel

    def count_collective(self, messages: int, nbytes: int, received_messages: int, received_bytes: int) -> None:
        """Book one collective with what a model of it says this rank sends and receives."""
        _add(self._collective[self.account], 1, messages, nbytes, received_messages, received_bytes)

    def counts(self) -> dict[str, Any]:
        """All that was booked, in lists of numbers: what `add` of a ledger with the same channels takes."""
        channels = [{account: list(book) for account, book in channel.books.items()} for channel in self._channels]
        return {"channels": channels, "collective": {account: list(sums) for account, sums in self._collective.items()}}

    def add(self, counts: Mapping[str, Any]) -> None:
        """Book what another ledger's `counts` tells. Raises ValueError where its channels were others."""
        for channel, books in zip(self._channels, counts["channels"], strict=True):
            for account, book in books.items():
                _add(channel.books[account], *book)
        for account, sums in counts["collective"].items():
            _add(self._collective[account], *sums)

    def totals(self, *accounts: Account) -> Totals:
        """Sums over the given accounts."""
        rounds = messages = nbytes = received = received_bytes = 0
        for account in accounts:
            for channel in self._channels:
                exchanges, each = channel.books[account]
                rounds += exchanges
                messages += exchanges * len(channel.destinations)
                nbytes += each * len(channel.destinations)
                received += exchanges * len(channel.sources)
                received_bytes += each * len(channel.sources)
            calls, *modeled = self._collective[account]
            rounds += calls
            messages += modeled[0]
            nbytes += modeled[1]
            received += modeled[2]
            received_bytes += modeled[3]
        return Totals(rounds, messages, nbytes, received, received_bytes)

    def bytes_between_hosts(self, *accounts: Account) -> int:
        """Counted bytes that went to ranks on other hosts, on the given accounts; collectives have no receivers to count."""
        sent = 0
        for channel in self._channels:
            away = sum(peer not in self._local for peer in channel.destinations)
            sent += away * sum(channel.books[account][1] for account in accounts)
        return sent

    def rows(self, library: Library | None = None) -> list[LedgerRow]:
        """One row an account and neighbor with any traffic, accounts in order, neighbors ascending.

        `library` holds, for accounts, the messages and bytes that the MPI library counted to each rank, each (L,).
        """
        rows = []
        for account in ACCOUNTS:
            peers: dict[int, list[int]] = {}
            for channel in self._channels:
                exchanges, each = channel.books[account]
                for peer in channel.destinations:
                    _add(peers.setdefault(peer, [0, 0, 0, 0]), exchanges, each, 0, 0)
                for peer in channel.sources:
                    _add(peers.setdefault(peer, [0, 0, 0, 0]), 0, 0, exchanges, each)
            seen = library[account] if library and account in library else None
            if seen is not None:
                for peer in np.flatnonzero(seen[0] + seen[1]).tolist():
                    peers.setdefault(peer, [0, 0, 0, 0])
            for peer, sums in sorted(peers.items()):
                counts = (None, None) if seen is None else (int(seen[0][peer]), int(seen[1][peer]))
                if any(sums) or any(counts):
                    basis = "counted" if any(sums) else "library"
                    rows.append(_row(account, peer, sums, peer in self._local, basis, *counts))
            modeled = self._collective[account][1:]
            if any(modeled):
                rows.append(_row(account, COLLECTIVE, modeled, False, "modeled"))
        return rows


def _row(
    account: str,
    neighbor: int | str,
    sums: list[int],
    same_host: bool,
    basis: str,
    library_messages: int | None = None,
    library_bytes: int | None = None,
) -> LedgerRow:
    messages, nbytes, received_messages, received_bytes = sums
    received = (received_messages, received_bytes)
    return LedgerRow(account, neighbor, messages, nbytes, *received, same_host, basis, library_messages, library_bytes)


def _add(sums: list[int], *more: int) -> None:
    for i, value in enumerate(more):
        sums[i] += value
