"""`fixgrad boards` and `fixgrad ports`: what there is to train on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from serial.tools import list_ports

from fixgrad.boards import BOARDS, Board
from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import new_table, print_json, print_table
from fixgrad.planner import plan
from fixgrad.run import prepare
from fixgrad.runfile import load_run


@click.command()
@click.argument("run_file", metavar="[RUN.toml]", type=PATH, required=False)
@json_option
def boards(run_file: Path | None, as_json: bool) -> None:
    """List the boards that fixgrad has firmware for, and what RUN.toml needs of their memory."""
    needs = None if run_file is None else _needs(run_file)
    if as_json:
        rows: list[dict[str, object]] = [dataclasses.asdict(board) for board in BOARDS.values()]
        for row, board in zip(rows, BOARDS.values(), strict=True):
            if needs is not None:
                row |= {"needed_bytes": needs, "fits": needs <= board.arena_bytes}
        print_json({"boards": rows})
        return
    run = () if run_file is None else (str(run_file), "")
    numbers = ("MHz", "RAM", "for models", "flash", "store", *run[:1])
    table = new_table("board", "chip", "core", *numbers, *run[1:], "UART", "emulated as",
                      right=numbers)  # fmt: skip
    for board in BOARDS.values():
        table.add_row(
            board.name,
            board.mcu,
            board.core,
            f"{board.clock_hz / 1e6:g}",
            f"{board.ram_bytes:,}",
            f"{board.arena_bytes:,}",
            f"{board.flash_bytes:,}",
            f"{board.store_bytes:,}" if board.store_bytes else "none",
            *_need_cells(needs, board),
            board.uart,
            f"qemu://{board.name}" if board.machine else "",
        )
    print_table(table)


def _needs(run_file: Path) -> int:
    """Return the RAM that a run's model takes."""
    return plan(prepare(load_run(run_file)).config).arena_bytes


def _need_cells(needs: int | None, board: Board) -> list[str]:
    if needs is None:
        return []
    return [f"{needs:,}", "fits" if needs <= board.arena_bytes else "does not fit"]


@click.command()
@json_option
def ports(as_json: bool) -> None:
    """List the ports that --port accepts on this machine."""
    found = [
        {
            "port": str(port.device),
            "description": str(port.description or ""),
            "serial_number": str(port.serial_number or ""),
        }
        for port in sorted(list_ports.comports(), key=lambda port: str(port.device))
    ]
    found.append(
        {"port": "sim://", "description": "a process of this machine", "serial_number": ""}
    )
    found += [
        {
            "port": f"qemu://{board.name}",
            "description": f"emulated {board.title} ({board.core})",
            "serial_number": "",
        }
        for board in BOARDS.values()
        if board.machine
    ]
    if as_json:
        print_json({"ports": found})
        return
    table = new_table("port", "what answers there", "serial number")
    for port in found:
        table.add_row(port["port"], port["description"], port["serial_number"])
    print_table(table)
