"""Groups of commands, as `hage` has them."""

from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """A group whose own ``--help`` has a value when it is not given, for which typer need not load pydantic."""

    def get_help_option(self, ctx: Any) -> Any:
        """See click; the option says that it was not given."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def lines(self, ctx: Any) -> list[tuple[str, str]]:
        """Every command's name and what it does."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [(name, " ".join((one.help or "").partition("\n\n")[0].split())) for name, one in commands if one]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Lists the commands, each with the whole of what it does."""
        with formatter.section("Commands"):
            formatter.write_dl(self.lines(ctx))
