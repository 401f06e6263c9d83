"""The program `tau`: each command of the registry with its handler."""

from tau.commands.build import Handlers, build_app

HANDLERS: Handlers = {
    "deploy": "tau.cli.pipelines:deploy",
    "undeploy": "tau.cli.pipelines:undeploy",
    "list": "tau.cli.pipelines:list_pipelines",
    "show": "tau.cli.pipelines:show",
    "code": "tau.cli.pipelines:code",
    "versions": "tau.cli.versions:versions",
    "diff": "tau.cli.versions:diff",
    "rollback": "tau.cli.versions:rollback",
    "run": "tau.cli.runs:run",
    "retry": "tau.cli.runs:retry",
    "cancel": "tau.cli.runs:cancel",
    "wait": "tau.cli.runs:wait",
    "runs": "tau.cli.runs:list_runs",
    "schedule": "tau.cli.schedules:schedule",
    "schedules": "tau.cli.schedules:schedules",
    "inspect": "tau.cli.traces:inspect",
    "logs": "tau.cli.traces:logs",
    "errors": "tau.cli.traces:errors",
    "webhooks": "tau.cli.notifications:webhooks",
    "webhook add": "tau.cli.notifications:add_webhook",
    "webhook delete": "tau.cli.notifications:delete_webhook",
    "webhook test": "tau.cli.notifications:test_webhook",
    "notify test": "tau.cli.notifications:test_notify",
    "keys list": "tau.cli.access:list_keys",
    "keys create": "tau.cli.access:create_key",
    "keys revoke": "tau.cli.access:revoke_key",
    "audit": "tau.cli.access:audit",
    "secrets": "tau.cli.secrets:list_secrets",
    "secret set": "tau.cli.secrets:set_secret",
    "secret delete": "tau.cli.secrets:delete_secret",
    "secret rotate": "tau.cli.secrets:rotate_secrets",
    "db stats": "tau.cli.store:stats",
    "db cleanup": "tau.cli.store:cleanup",
    "db vacuum": "tau.cli.store:vacuum",
    "db backup": "tau.cli.store:backup",
    "config show": "tau.cli.store:show_config",
    "config validate": "tau.cli.store:validate_config",
    "status": "tau.cli.system:status",
    "version": "tau.cli.system:version",
    "schema": "tau.cli.system:schema",
}
"""By name, so that a command imports its own handler only, and `tau schema` no HTTP client."""

app = build_app("tau", HANDLERS)

if __name__ == "__main__":
    app()
