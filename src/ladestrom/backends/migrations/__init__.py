"""How the store's tables came to be: Alembic's environment, run when a store is opened."""
