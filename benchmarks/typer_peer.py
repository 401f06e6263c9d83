"""The peer of `tau list`: a Typer program with two commands, one of which makes one GET."""

import os

import httpx
import typer

app = typer.Typer()


@app.command("list")
def list_pipelines() -> None:
    headers = {"Authorization": f"Bearer {os.environ['PEER_KEY']}"}
    answer = httpx.get(os.environ["PEER_URL"] + "/api/v1/pipelines", headers=headers)
    answer.raise_for_status()
    print(answer.text)


@app.command()
def version() -> None:
    print("1.0")
