"""`python -m service` is `relais`."""

from service.cli.main import run

if __name__ == "__main__":
    run()
