"""The read side: subscriptions and their phases, frames made once, passes, snapshots, catching up, replay."""
