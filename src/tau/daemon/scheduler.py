"""The daemon's periodic jobs, driven by APScheduler; it keeps no jobs and evaluates no cron."""

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tau.services.housekeeping_service import HousekeepingService

HOUR_S = 3600


def make_scheduler(housekeeping: HousekeepingService) -> AsyncIOScheduler:
    """A scheduler in UTC with its jobs in memory: the tables are the truth."""
    scheduler = AsyncIOScheduler(
        timezone="UTC",
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    scheduler.add_job(housekeeping.forget_old_keys, "interval", seconds=HOUR_S)
    return scheduler
