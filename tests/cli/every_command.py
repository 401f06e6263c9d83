"""A command line for every command that asks a daemon, and for each way in which it asks."""

COMMANDS = {
    "deploy": ["deploy", "FILE"],
    "undeploy": ["undeploy", "orders", "--yes"],
    "undeploy without --yes": ["undeploy", "orders"],
    "list": ["list"],
    "show": ["show", "orders"],
    "code": ["code", "orders"],
    "versions": ["versions", "orders"],
    "diff": ["diff", "orders", "1", "2"],
    "rollback": ["rollback", "orders"],
    "run": ["run", "orders"],
    "run file": ["run", "FILE"],
    "run --dry-run": ["run", "orders", "--dry-run"],
    "retry": ["retry", "orders#7"],
    "cancel": ["cancel", "orders#7"],
    "wait": ["wait", "orders#7"],
    "wait two": ["wait", "orders#7", "orders#8"],
    "runs": ["runs"],
    "schedule": ["schedule", "orders", "0 6 * * *"],
    "schedules": ["schedules"],
    "inspect": ["inspect", "orders"],
    "logs": ["logs", "orders"],
    "logs --run": ["logs", "orders", "--run", "01k9"],
    "logs --follow": ["logs", "orders", "--follow"],
    "errors": ["errors"],
    "keys list": ["keys"],
    "keys create": ["keys", "create", "ci", "--scope", "read"],
    "keys revoke": ["keys", "revoke", "k1", "--yes"],
    "webhooks": ["webhooks"],
    "webhook add": ["webhook", "add", "https://hooks.example.com/tau"],
    "webhook delete": ["webhook", "delete", "w1", "--yes"],
    "webhook test": ["webhook", "test", "w1"],
    "notify test": ["notify", "test"],
    "audit": ["audit"],
    "status": ["status"],
}
"""FILE stands for the path of a pipeline file. All succeed with the stand-in, but for the second
`undeploy`, which exits 6."""

NEEDS_YES = COMMANDS["undeploy without --yes"]
