"""All routes of the API, and the allow-list of those that need no key."""

from tau.api import (
    config,
    keys,
    pipelines,
    runs,
    schedules,
    secrets,
    store,
    system,
    webhooks,
)

PARTS = (
    system.router,
    system.scraped,
    pipelines.router,
    runs.router,
    schedules.router,
    keys.router,
    secrets.router,
    store.router,
    config.router,
    webhooks.router,
)

ROUTES = [*system.public.routes, *(route for part in PARTS for route in part.routes)]
"""One flat list: routers within routers cost a search in each, for every request."""
