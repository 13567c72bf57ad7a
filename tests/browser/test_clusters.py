"""The map's clusters and their numbers, as the browser computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.browser.conftest import Visit
from tests.e2e.serving import Serving

from ladestrom.edges.page import Assets

SCRIPT: Final = """async ({path, seed}) => {
  const {build, stationsOf} = await import(`${path}/map/hierarchy.js`);
  const {Tallies} = await import(`${path}/map/tallies.js`);
  let state = seed;
  const chance = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const n = 2000;
  const lon = Int32Array.from({length: n}, () => 5e5 + chance(40) * 5e4 + chance(2e4));
  const lat = Int32Array.from({length: n}, () => 58e5 + chance(30) * 4e4 + chance(2e4));
  const hierarchy = build(lon, lat);
  const wrongs = [];
  for (const [level, {ids}] of hierarchy.levels.entries()) {
    const seen = new Set();
    for (const id of ids) stationsOf(hierarchy, id, (station) => seen.has(station) ? wrongs.push(`${station} twice at ${level}`) : seen.add(station));
    if (seen.size !== n) wrongs.push(`${seen.size} stations at ${level}`);
  }
  const starts = new Uint32Array(n + 1);
  for (let i = 0; i < n; i++) starts[i + 1] = starts[i] + 1 + chance(3);
  const units = starts[n];
  const held = Int32Array.from({length: units * 4}, () => chance(4));
  const live = new Tallies(hierarchy, starts);
  live.load(held);
  for (let turn = 0; turn < 4; turn++) {
    for (let i = 0; i < units; i++) live.passes[i] = turn % 2 ? chance(2) : 1;
    for (let i = 0; i < 5; i++) live.states[i] = turn > 1 ? chance(2) : 1;
    live.recount();
    for (let i = 0; i < 3000; i++) {
      const station = chance(n);
      const unit = starts[station] + chance(starts[station + 1] - starts[station]);
      const from = chance(5) - 1;
      const to = chance(5) - 1;
      if (from >= 0 && held[unit * 4 + from] === 0) continue;
      if (from >= 0) held[unit * 4 + from] -= 1;
      if (to >= 0) held[unit * 4 + to] += 1;
      live.move(station, unit, from, to);
    }
    const fresh = new Tallies(hierarchy, starts);
    fresh.passes.set(live.passes);
    fresh.states.set(live.states);
    fresh.load(held);
    for (const name of ["units", "held", "shown", "totals", "byState"]) {
      if (live[name].some((value, i) => value !== fresh[name][i])) wrongs.push(`${name} differs in turn ${turn}`);
    }
    for (const [level, {ids}] of hierarchy.levels.entries()) {
      const sums = [0, 0, 0, 0, 0];
      for (const id of ids) for (let slot = 0; slot < 5; slot++) sums[slot] += live.shown[id * 5 + slot];
      if (sums.some((sum, slot) => sum !== live.totals[slot])) wrongs.push(`level ${level} does not add up in turn ${turn}`);
    }
  }
  return wrongs;
}"""


def test_numbers_that_changes_moved_are_those_that_counting_anew_gives(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
        page = visit(server.url, "/consumers")
        for seed in (1, 2, 3):
            asked: dict[str, Any] = {"path": f"/page/{Assets().digest()}", "seed": seed}
            assert page.evaluate(SCRIPT, asked) == [], seed
