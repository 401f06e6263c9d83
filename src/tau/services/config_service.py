"""The settings of the running daemon, and whether others would do."""

from pathlib import Path

from tau.core.config import Loaded, Problem, find_problems
from tau.core.config_file import BASE, parse_file, read_file
from tau.core.config_origins import show
from tau.errors import ConfigurationError
from tau.schemas.config import ConfigCheck, ConfigChecked, ConfigRead, ProblemRead, SettingRead


class ConfigService:
    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def show(self) -> ConfigRead:
        """Every setting with its value, secrets masked, and where it came from."""
        loaded = self._loaded
        return ConfigRead(
            file=str(loaded.file.path) if loaded.file.path else None,
            environment=loaded.environment or BASE,
            layers=[layer.name for layer in loaded.layers],
            environments=[BASE, *loaded.file.names],
            settings=[
                SettingRead.model_validate({"name": s.name, "value": s.value, "from": s.origin})
                for s in show(loaded)
            ],
            next=["tau config validate"],
        )

    def check(self, request: ConfigCheck) -> ConfigChecked:
        """Whether a restart with this file would do, under the environment of this daemon.

        All that is wrong, not only the first. Without a text it is the daemon's own file, as it
        is on its disk now.
        """
        given = None if request.text is None else Path(request.file or "tau.toml")
        path = given or self._loaded.file.path
        environment = request.environment or self._loaded.environment
        names: list[str] = []
        try:
            file = parse_file(given, request.text or "") if given else read_file(path)
            names = file.names
            problems = find_problems(file, environment, overrides=self._loaded.overrides)
        except ConfigurationError as error:
            problems = [_of(error)]
        return ConfigChecked(
            valid=not problems,
            file=str(path) if path else None,
            environment=environment or BASE,
            environments=[BASE, *names],
            errors=[ProblemRead(**problem.to_dict()) for problem in problems] or None,
            next=["tau config show"] if problems else ["taud stop", "taud start --daemon"],
        )


def _of(error: ConfigurationError) -> Problem:
    places = ("setting", "file", "line", "variable")
    known = {key: error.details[key] for key in places if key in error.details}
    return Problem(message=error.message, hint=error.hint, **known)
