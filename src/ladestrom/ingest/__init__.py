"""How reports arrive: one file per transport. Runs `receive`, `submit`, `answer` in this order."""
