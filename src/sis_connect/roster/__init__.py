"""From source rows to a roster: fetch, stage, merge, guard, plan, apply. `sync` says it in one sentence."""
