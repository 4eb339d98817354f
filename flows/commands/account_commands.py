"""`stagecast accounts`: who may sign in to the pages of `stagecast serve`."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder


def register_accounts(app: typer.Typer) -> None:
    """Add the commands of accounts to the app."""
    accounts = typer.Typer(no_args_is_help=True, help="Who may sign in to the pages of serve.")
    app.add_typer(accounts, name="accounts")

    @accounts.command()
    def add(
        name: Annotated[str, typer.Argument(help="Name, such as anna or anna@shop.example.")],
        role: Annotated[
            str,
            typer.Option(help="read; approve: also release exports; operate: also models, log."),
        ],
        output: OutputFolder = DEFAULT_OUTPUT,
        json_file: JsonFile = None,
    ) -> None:
        """Add an account, or give one another role and password.

        The password is asked for; without a terminal it is the first line of standard input.
        """
        from flows.pages.accounts import add_account
        from flows.services.console import console, deliver_result
        from flows.services.output_folder import require_writable

        require_writable(output.absolute())
        account = add_account(output.absolute(), name, role, _password())
        deliver_result(
            {"name": account.name, "role": account.role},
            json_file,
            lambda: console.print(f"{account.name} may sign in, role {account.role}"),
        )

    @accounts.command()
    def remove(
        name: Annotated[str, typer.Argument(help="Name of the account.")],
        output: OutputFolder = DEFAULT_OUTPUT,
        json_file: JsonFile = None,
    ) -> None:
        """Remove an account; its sessions end at once."""
        from flows.pages.accounts import remove_account
        from flows.services.console import console, deliver_result
        from flows.services.output_folder import require_writable

        require_writable(output.absolute())
        remove_account(output.absolute(), name)
        deliver_result(
            {"name": name.lower()}, json_file, lambda: console.print(f"{name.lower()} is removed")
        )

    @accounts.command(name="list")
    def list_accounts(output: OutputFolder = DEFAULT_OUTPUT, json_file: JsonFile = None) -> None:
        """List the accounts with their roles."""
        from flows.pages.accounts import read_accounts
        from flows.services.console import deliver_result, print_table

        rows = [(row.name, row.role) for row in read_accounts(output.absolute()).values()]
        deliver_result(
            [{"name": name, "role": role} for name, role in rows],
            json_file,
            lambda: print_table("Accounts", ["name", "role"], rows),
        )


def _password() -> str:
    """The password, typed twice, or one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise UserError("password", found="two different ones", expected="the same one twice")
    return password
