"""The command `stagecast report`: the page of the current run, written anew."""

from __future__ import annotations

from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder


def report(output: OutputFolder = DEFAULT_OUTPUT, json_file: JsonFile = None) -> None:
    """Write the life-cycle report of the current run anew: one HTML page that works offline.

    Run and score write it too. It tells of single customers, so it never goes to MLflow.
    """
    from flows.services.output_folder import require_writable
    from flows.services.settings import apply_defaults

    apply_defaults()
    require_writable(output.absolute(), create=False)
    from features.storage import scores_store
    from flows.report.write import write_report
    from flows.services.console import bold, console, deliver_result, step
    from flows.services.workspace import Workspace

    space = Workspace(output.absolute())
    current = scores_store.read_current(space.output).run
    step(f"report of run {current.run_id}")
    path = write_report(space, current.run_id)
    megabytes = path.stat().st_size / 1e6
    content = {"run_id": current.run_id, "report": str(path), "megabytes": round(megabytes, 2)}

    def show() -> None:
        about = f"({megabytes:.1f} MB), to be opened in a browser"
        console.print("report:", bold(path), about, soft_wrap=True, highlight=False)

    deliver_result(content, json_file, show)
