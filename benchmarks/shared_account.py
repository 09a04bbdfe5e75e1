"""Two clients on one account: ours, and one that takes 60 % of the limit in bursts.

Simulated time, no network: the exporter's own budget against a limiter that counts in fixed
minutes. Prints, for several burst patterns, the account's share of 429s and our throughput
against what the other client left to take.
"""

import random
from dataclasses import dataclass

from exporter.helpscout.budget import Budget
from exporter.telemetry import Telemetry

LIMIT = 400
MINUTES = 10


@dataclass
class Limiter:
    limit: int
    offset: float
    minute: int = -1
    used: int = 0

    def call(self, now: float) -> tuple[bool, int, float]:
        minute = int((now + self.offset) // 60)
        if minute != self.minute:
            self.minute, self.used = minute, 0
        wait = 60 - (now + self.offset) % 60
        if self.used >= self.limit:
            return False, 0, wait
        self.used += 1
        return True, self.limit - self.used, wait


def bursts(pattern: str, chance: random.Random) -> list[float]:
    """Return the instants of the other client's calls: 60 % of the limit in each minute."""
    calls: list[float] = []
    each = LIMIT * 6 // 10
    for minute in range(MINUTES + 1):
        if pattern == "one burst":
            parts = [(chance.uniform(2, 50), each)]
        elif pattern == "three bursts":
            parts = [(chance.uniform(i * 20, i * 20 + 15), each // 3) for i in range(3)]
        elif pattern == "late burst":
            parts = [(48.0, each)]
        else:
            parts = [(i * 60 / each, 1) for i in range(each)]
        calls += [minute * 60 + at + i * 0.02 for at, n in parts for i in range(n)]
    return sorted(calls)


def run(pattern: str, share: float, seed: int, latency: float = 0.1) -> tuple[float, float, int]:
    chance = random.Random(seed)
    clock = [1000.0]
    offset = chance.uniform(0, 60)
    limiter = Limiter(LIMIT, offset)
    budget = Budget(
        "a",
        200,
        share,
        Telemetry(process_metrics=False),
        clock=lambda: clock[0],
        wait=lambda _: True,
    )
    # Their bursts keep to the service's minutes, or they would run into the limit without us.
    first_minute = 1000 - (1000 + offset) % 60
    events = [first_minute + at for at in bursts(pattern, chance)]
    events = [at for at in events if at >= 1000]
    answers: list[tuple[float, bool, int, float]] = []
    ours = refused_ours = refused = total = 0
    next_try = 1000.0
    end = 1000 + MINUTES * 60
    index = 0
    while True:
        at_other = events[index] if index < len(events) else end
        at_answer = answers[0][0] if answers else end
        clock[0] = now = min(at_other, at_answer, next_try)
        if now >= end:
            break
        if now == at_answer:
            at, good, remaining, wait = answers.pop(0)
            budget.observe(at - latency, LIMIT, remaining)
            if not good:
                budget.close_gate(wait)
        elif now == at_other:
            index += 1
            total += 1
            refused += not limiter.call(now)[0]
        else:
            delay = budget.try_spend()
            if delay:
                next_try = now + delay
                continue
            good, remaining, wait = limiter.call(now)
            total += 1
            ours += good
            refused += not good
            refused_ours += not good
            answers.append((now + latency, good, remaining, wait))
    left = min(LIMIT * share, LIMIT * 0.4) * MINUTES
    return refused / total, ours / left, refused_ours


if __name__ == "__main__":
    titles = ("429s of all calls", "of what was left", "ours refused")
    print(f"{'pattern':14} {'share':>5} {titles[0]:>18} {titles[1]:>17} {titles[2]:>13}")
    for pattern in ("one burst", "three bursts", "late burst", "steady"):
        for share in (0.4, 0.5, 0.8):
            runs = [run(pattern, share, seed) for seed in range(10)]
            print(
                f"{pattern:14} {share:5.1f} {max(r[0] for r in runs):18.2%}"
                f" {min(r[1] for r in runs):17.1%} {max(r[2] for r in runs):13d}"
            )
