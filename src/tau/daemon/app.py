"""The program `taud`: its commands by name, imported when they are called."""

from tau.commands.build import build_app

HANDLERS = {
    "start": "tau.daemon.control:start",
    "stop": "tau.daemon.control:stop",
    "status": "tau.daemon.control:status",
    "doctor": "tau.daemon.doctor:doctor",
}

main = build_app("taud", HANDLERS)

if __name__ == "__main__":
    main()
