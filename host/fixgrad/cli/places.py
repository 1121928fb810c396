"""`fixgrad boards` and `fixgrad ports`: what there is to train on."""

from __future__ import annotations

import dataclasses

import click
from serial.tools import list_ports

from fixgrad.boards import BOARDS
from fixgrad.cli.options import json_option
from fixgrad.cli.output import new_table, print_json, print_table


@click.command()
@json_option
def boards(as_json: bool) -> None:
    """List the boards that fixgrad has firmware for."""
    if as_json:
        print_json({"boards": [dataclasses.asdict(board) for board in BOARDS.values()]})
        return
    numbers = ("MHz", "RAM", "for models", "flash", "store")
    table = new_table("board", "chip", "core", *numbers, "UART", "emulated as", right=numbers)
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
            board.uart,
            f"qemu://{board.name}" if board.machine else "",
        )
    print_table(table)


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
