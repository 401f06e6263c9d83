"""All routes of the API, and the allow-list of those that need no key."""

from tau.api import keys, pipelines, runs, schedules, system, webhooks

PARTS = (
    system.router,
    pipelines.router,
    runs.router,
    schedules.router,
    keys.router,
    webhooks.router,
)

ROUTES = [*system.public.routes, *(route for part in PARTS for route in part.routes)]
"""One flat list: routers within routers cost a search in each, for every request."""
