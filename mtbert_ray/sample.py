"""Draw a topic-balanced sample of a task's training rows.

`python -m mtbert_ray.sample TOPICS.yaml --data DIR --out FILE`
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from mtbert_ray.config.file import load_sample_config
from mtbert_ray.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sample(
    topics: Annotated[Path, typer.Argument(help="YAML of the topics, as search_spaces/paper/topics.yaml.")],
    out: Annotated[Path, typer.Option(help="File for the sample: .csv, .tsv or .parquet.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files for sst, quora and sts.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key, as method=embeddings.")
    ] = None,
) -> None:
    """Keep each topic's quota of a task's training rows, the most confident first.

    Writes the rows with their topic and confidence, and a JSON file with how they were drawn. Train on them with
    data.train_files. A run that was killed resumes where it was.
    """
    try:
        config = load_sample_config(topics, set_ or (), data_directory=data)
        # Imported after the checks above: pandas and torch take seconds.
        from mtbert_ray.sampling.files import about_path, check_target, write_sample

        config = load_sample_config(topics, set_ or (), data_directory=data)
        check_target(out, config.task)
        from mtbert_ray.sampling.sample import draw_sample

        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("loading data and model", total=None)

            def show_texts(done: int, total: int) -> None:
                if not progress.tasks[bar].total:
                    progress.console.print(
                        f"{total} distinct texts to classify; what is done is kept if this is killed"
                    )
                progress.update(bar, description="classifying", completed=done, total=total)

            drawn = draw_sample(config, on_texts=show_texts)
        write_sample(drawn, config, out)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{drawn.num_texts} distinct texts, of which {drawn.num_found} were classified before", err=True)
    for topic in drawn.topics:
        typer.echo(topic.summary)
    typer.echo(f"{drawn.num_rows} of {config.rows} rows: {out} (how they were drawn: {about_path(out).name})")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
