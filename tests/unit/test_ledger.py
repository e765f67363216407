"""The ledger's sums, by hand."""

import numpy as np

from mpidec.ledger import Ledger, LedgerRow


def test_rows_and_totals_of_two_channels_and_two_accounts():
    ledger = Ledger(local={2})
    up = ledger.channel(destinations=(0,), sources=())
    ring = ledger.channel(destinations=(0, 2), sources=(0, 2))
    with ledger.charge("init"):
        up.count(100)
        ring.count(8)
    with ledger.charge("iterate"):
        ring.count(50, exchanges=2)
    assert ledger.account == "setup"
    assert ledger.rows() == [
        LedgerRow("init", 0, 2, 108, 1, 8, False, "counted"),
        LedgerRow("init", 2, 1, 8, 1, 8, True, "counted"),
        LedgerRow("iterate", 0, 2, 100, 2, 100, False, "counted"),
        LedgerRow("iterate", 2, 2, 100, 2, 100, True, "counted"),
    ]
    both = ledger.totals("init", "iterate")
    assert (both.rounds, both.messages, both.bytes) == (4, 1 + 2 + 4, 100 + 16 + 200)
    assert (both.received_messages, both.received_bytes) == (2 + 4, 16 + 200)


def test_a_collective_is_modeled_and_belongs_to_nobody():
    ledger = Ledger()
    with ledger.charge("iterate"):
        ledger.count_collective(6, 1200, 1, 300)
    assert ledger.rows() == [LedgerRow("iterate", "collective", 6, 1200, 1, 300, False, "modeled")]
    assert ledger.totals("iterate").rounds == 1
    assert ledger.totals("init").bytes == 0


def test_the_librarys_counts_stand_beside_and_a_stranger_shows():
    ledger = Ledger()
    channel = ledger.channel((1,), (1,))
    with ledger.charge("iterate"):
        channel.count(40)
    rows = ledger.rows({"iterate": (np.array([0, 1, 0, 2]), np.array([0, 40, 0, 16]))})
    assert rows == [
        LedgerRow("iterate", 1, 1, 40, 1, 40, False, "counted", 1, 40),
        LedgerRow("iterate", 3, 0, 0, 0, 0, False, "library", 2, 16),
    ]


def test_the_account_is_restored_after_an_exception():
    ledger = Ledger()
    try:
        with ledger.charge("observe"):
            raise KeyError
    except KeyError:
        pass
    assert ledger.account == "setup"
