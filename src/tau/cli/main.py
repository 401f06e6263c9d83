"""The program `tau`: each command of the registry with its handler."""

from tau.commands.build import Handlers, build_app

HANDLERS: Handlers = {
    "deploy": "tau.cli.pipelines:deploy",
    "list": "tau.cli.pipelines:list_pipelines",
    "show": "tau.cli.pipelines:show",
    "code": "tau.cli.pipelines:code",
    "run": "tau.cli.runs:run",
    "wait": "tau.cli.runs:wait",
    "runs": "tau.cli.runs:list_runs",
    "inspect": "tau.cli.traces:inspect",
    "logs": "tau.cli.traces:logs",
    "errors": "tau.cli.traces:errors",
    "status": "tau.cli.system:status",
    "version": "tau.cli.system:version",
    "schema": "tau.cli.system:schema",
}
"""By name, so that a command imports its own handler only, and `tau schema` no HTTP client."""

app = build_app("tau", HANDLERS)

if __name__ == "__main__":
    app()
