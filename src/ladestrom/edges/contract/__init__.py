"""The published contracts: `/openapi.json` and `/asyncapi.json`, put together from the rows of all parts."""
