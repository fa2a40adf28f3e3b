"""A project with every type of value, and events for it. A slow machine makes nothing of it stale."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

DEFINITIONS = """
kind: source
name: sales
stream: embedded
columns:
  id: string
  at: timestamp
  shop: string
  till: int64
  item: string
  price: float64
  paid: decimal(12, 2)
  card: bool
  chip: bytes
  opened: timestamp
event_time: at
event_id: id
complete_since: beginning
max_ahead: none
allowed_lateness: 365d
max_lag: 1h
---
# Its events have no id: a copy is another event.
kind: source
name: taps
stream: embedded
columns: { at: timestamp, shop: string }
event_time: at
complete_since: beginning
max_ahead: none
allowed_lateness: 365d
max_lag: 1h
---
# Of it nothing is known before the server first saw it.
kind: source
name: visits
stream: embedded
columns: { at: timestamp, shop: string }
event_time: at
max_lag: 1h
---
kind: entity
name: till
keys: { shop: string, till: int64 }
---
kind: entity
name: item
keys: { item: string }
---
kind: entity
name: shop
keys: { shop: string }
---
kind: feature_view
name: till_sales
entity: till
source: sales
history: all
features:
  - { name: sold, aggregate: count, windows: [1d, 7d] }
  - { name: price_avg, aggregate: avg, of: price, windows: [1d] }
  - { name: paid_sum, aggregate: sum, of: paid, windows: [7d] }
  - { name: last_item, aggregate: last, of: item, windows: [7d] }
  - { name: last_card, aggregate: last, of: card, windows: [7d] }
  - { name: last_chip, aggregate: last, of: chip, windows: [7d] }
  - { name: last_opened, aggregate: last, of: opened, windows: [7d] }
  - { name: quiet_for, aggregate: time_since_last, windows: [7d] }
  - { name: items, aggregate: last_n, of: item, n: 3, windows: [7d] }
  - { name: openings, aggregate: distinct_list, of: opened, n: 3, windows: [7d] }
  - { name: top_items, aggregate: top_n, of: item, by: "sum(paid)", n: 3, windows: [7d] }
  - { name: top_prices, aggregate: top_n, of: price, n: 3, windows: [7d] }
---
kind: feature_view
name: item_sales
entity: item
source: sales
history: all
features:
  - { name: sold, aggregate: count, windows: [1d] }
  - { name: tills, aggregate: count_distinct, of: till, cap: 4, windows: [7d] }
---
kind: feature_view
name: shop_taps
entity: shop
source: taps
history: all
features:
  - { name: taps, aggregate: count, windows: [1d] }
---
kind: feature_view
name: shop_visits
entity: shop
source: visits
features:
  - { name: visits, aggregate: count, windows: [1d] }
---
kind: feature_service
name: kinds
features: ["till_sales:*"]
on_demand:
  - { name: ratio, expr: "asked / price_avg_1d", request: { asked: float64 } }
---
kind: feature_service
name: both
features: ["till_sales:sold", "item_sales:*", "shop_taps:*"]
---
kind: feature_service
name: echo
features: ["item_sales:sold"]
on_demand:
  - { name: money, expr: "money_in", request: { money_in: "decimal(10, 2)" } }
  - { name: instant, expr: "instant_in", request: { instant_in: timestamp } }
  - { name: text, expr: "text_in", request: { text_in: string } }
  - { name: flag, expr: "flag_in", request: { flag_in: bool } }
  - { name: raw, expr: "raw_in", request: { raw_in: bytes } }
  - { name: number, expr: "number_in", request: { number_in: int64 } }
  - { name: tenth, expr: "10 / number_in" }
"""

START = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = ["tea", "coffee", "cake", "물", "juice", "soup"]


def events(count: int) -> list[dict[str, Any]]:
    """Makes sales up: a few minutes apart, at nine tills of two shops, with nulls here and there."""
    return [
        {
            "id": f"sale-{place}",
            "at": START + timedelta(minutes=7 * place, microseconds=place),
            "shop": "north" if place // 9 % 3 else "south",
            "till": place % 9,
            "item": None if place % 11 == 0 else ITEMS[place * place % 6],
            "price": None if place % 13 == 0 else (place % 17) * 0.1 + 0.05,
            "paid": Decimal(place % 23) / 4 + Decimal("0.01"),
            "card": None if place % 5 == 0 else place % 2 == 0,
            "chip": bytes([place % 256, 255, 0]),
            "opened": START - timedelta(hours=place % 4, microseconds=3),
        }
        for place in range(count)
    ]
