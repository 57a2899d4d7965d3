"""The root of the command: flags that every command takes, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import stamina.instrumentation
import typer
from typer.core import TyperGroup

from mitosis_client.cli.demo import demo
from mitosis_client.cli.exits import EPILOG, ExitCode, exit_code, show_error, show_message
from mitosis_client.cli.explain import explain
from mitosis_client.cli.groups import app as groups
from mitosis_client.cli.login import change_password, login, logout
from mitosis_client.cli.managers import app as managers
from mitosis_client.cli.session import NoConnection, Session
from mitosis_client.cli.suites import app as suites
from mitosis_client.cli.tasks import app as tasks
from mitosis_client.cli.up import up
from mitosis_client.cli.usage import UsageError, asks_for_json, say_what_was_given
from mitosis_client.cli.users import app as users
from mitosis_client.cli.workers import app as workers
from mitosis_client.errors import MitosisError
from mitosis_client.local.errors import LocalError

_JSON_FLAG = "mitosis.json"


class _Root(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Notes whether JSON is wanted: a command line that cannot be read gets no command to say so."""
        ctx.meta[_JSON_FLAG] = asks_for_json(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; shows what it raised as one message and never as a traceback."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            say_what_was_given(error)
            if not _as_json(ctx):
                raise
            show_message(error.format_message(), reason="USAGE", as_json=True)
            raise typer.Exit(ExitCode.USAGE) from None
        except NoConnection as error:
            show_error(error, as_json=_as_json(ctx))
            raise typer.Exit(ExitCode.USAGE) from None
        except MitosisError as error:
            show_error(error, as_json=_as_json(ctx))
            raise typer.Exit(exit_code(error)) from None
        except LocalError as error:
            show_message(str(error), reason="LOCAL", as_json=_as_json(ctx))
            raise typer.Exit(error.exit_code) from None
        except typer.Abort:
            # Ctrl-C at a prompt, or its input at an end.
            sys.stderr.write("\n")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except OSError as error:
            # A reader that went away, as `head` does, needs no message; typer ends with 1.
            if error.errno == errno.EPIPE:
                raise
            message = f"{error.filename or 'output'}: {error.strerror}" if error.strerror else str(error)
            show_message(message, reason="LOCAL", as_json=_as_json(ctx))
            raise typer.Exit(ExitCode.FAILED) from None


def _as_json(context: typer.Context) -> bool:
    return bool(context.meta.get(_JSON_FLAG))


app = typer.Typer(
    name="mitosis",
    cls=_Root,
    help="Run suites of tasks on the machines of a group.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mitosis {metadata.version('mitosis')}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    connection: Annotated[
        Path | None,
        typer.Option(
            envvar="MITOSIS_CONNECTION",
            help="File that says where the coordinator is. Default: connection.json in the data directory of "
            "`mitosis up`, then what `mitosis login` wrote.",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(envvar="MITOSIS_ADDRESS", help="host:port of the coordinator's gRPC server.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MITOSIS_TOKEN",
            show_envvar=True,
            help="Token to use. Better in the environment: other users can read a command line.",
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(envvar="MITOSIS_CA", help="Certificates to trust (PEM); turns TLS on.")
    ] = None,
    cert: Annotated[Path | None, typer.Option(envvar="MITOSIS_CERT", help="Client certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(envvar="MITOSIS_KEY", help="Key of the client certificate (PEM).")] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="MITOSIS_INSECURE",
            help="Speak plain text to another machine too; others on the way can read the token.",
        ),
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run suites of tasks on the machines of a group."""
    context.obj = Session(connection, address, token, ca, cert, key, insecure)


app.command("up")(up)
app.command("demo")(demo)
app.command("explain")(explain)
app.command("login")(login)
app.command("logout")(logout)
app.command("change-password")(change_password)
app.add_typer(suites, name="suites")
app.add_typer(tasks, name="tasks")
app.add_typer(managers, name="managers")
app.add_typer(workers, name="workers")
app.add_typer(users, name="users")
app.add_typer(groups, name="groups")


def main() -> None:
    """Runs the command; the entry point of the `mitosis` script."""
    # Retries of this short-lived process are not worth a log line among its answers.
    stamina.instrumentation.set_on_retry_hooks([])
    # gRPC would report a broken connection on standard error by itself, beside our one message about it.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()
