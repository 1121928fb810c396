"""Campaign 12: plants one bug after the other and shows that the tests of the link find each.

    .venv/bin/python tests/sim/mutants.py
    .venv/bin/python tests/sim/mutants.py --only 7 12

Works on a copy of the tree. A bug counts as found only if a simulated run or a test fails; one that
does not apply or does not compile is an error of this script's table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
CAMPAIGN = "campaign 7"
SEEDS = 400
TIMEOUT_S = 600
TESTS = (
    "test_fault_simulation.py", "test_framing.py", "test_session.py", "test_training.py",
    "test_keep.py", "test_store.py", "test_baud.py", "test_delivery.py", "test_device_messages.py",
    "test_device.py", "test_samples_in_flash.py",
)  # fmt: skip
DRIVERS = "test_receive.py"
"""Of the drivers, which no simulated run has."""
TOO_LONG = (
    "whatever or micro_bit or image_without_a_store or take_the_message or 8_kilobyte or "
    "twenty_epochs or flash_refuses"
)
"""Tests that the campaign stands for, or that build an image."""


class Mutant(NamedTuple):
    """Text of a file that is replaced, once, by a bug."""

    file: str
    right: str
    wrong: str


LINK, TRAINER = "firmware/core/link.c", "firmware/core/trainer.c"
DATASET = "firmware/core/mlp_dataset.c"
KEEP, STORE = "firmware/core/keep.c", "firmware/core/store.c"
COBS, CRC = "firmware/core/cobs.c", "firmware/core/crc32.c"
KERNELS, STEP = "firmware/core/kernels_plain.c", "firmware/core/kernels_step.h"
STATE = "firmware/core/mlp_state.c"
TRAIN, UPDATE = "firmware/core/mlp_train.c", "firmware/core/mlp_update.c"
SESSION, FRAMING = "host/fixgrad/session.py", "host/fixgrad/framing.py"
DELIVERY = "host/fixgrad/delivery.py"
PART = "firmware/core/mlp_part.c"
DEVICE, TRAINING = "host/fixgrad/device.py", "host/fixgrad/training.py"
PORTS = "firmware/ports/"
RECEIVE, USART = f"{PORTS}cortexm/receive.c", f"{PORTS}stm32/usart.c"
UARTE, DMA_L4 = f"{PORTS}nrf52/uarte.c", f"{PORTS}stm32l4/dma.c"
DMA_CHANNEL = f"{PORTS}stm32/dma_channel.h"

MUTANTS = (
    # The four that random faults alone let through.
    Mutant(TRAINER, "    t->run_id = 0;\n    t->missing = 0;\n    t->end = 0;\n", ""),
    Mutant(TRAINER, "crc == bytes_u32(payload + COMMIT_AT_CRC)", "(crc & 0u) == 0"),
    Mutant(
        LINK,
        "return crc32_update(0, frame, body) == bytes_u32(frame + body);",
        "return (uint16_t)crc32_update(0, frame, body) == bytes_u16(frame + body);",
    ),
    Mutant(LINK, "session == 0 || session != l->trainer.session", "session == 0"),
    # The device's link.
    Mutant(
        LINK,
        "return crc32_update(0, frame, body) == bytes_u32(frame + body);",
        "return crc32_update(0, frame, body) >> 16 == bytes_u32(frame + body) >> 16;",
    ),
    Mutant(
        LINK,
        "return crc32_update(0, frame, body) == bytes_u32(frame + body);",
        "return crc32_update(0, frame, body) != 1u;",
    ),
    Mutant(LINK, "    l->mute = false;\n    const uint8_t", "    const uint8_t"),
    Mutant(LINK, "            l->trainer.session = session;\n", ""),
    Mutant(LINK, "HELLO_ACK_AT_NEXT, l->trainer.next);", "HELLO_ACK_AT_NEXT, 0);"),
    Mutant(LINK, "HELLO_ACK_AT_RUN_ID, l->trainer.run_id);", "HELLO_ACK_AT_RUN_ID, 0xC0FFEEu);"),
    Mutant(LINK, "reply_no_session(l, REASON_RUN);", "(void)0;"),
    # The speed of the line.
    Mutant(LINK, "? (uint8_t)(l->zeros + 1u) : 0u;", "? 1u : 0u;"),
    Mutant(LINK, "    if (good) {\n        port_set", "    if (!good) {\n        port_set"),
    Mutant(LINK, "zeros == LIMIT_WAKING_ZEROS", "zeros == 2u * LIMIT_WAKING_ZEROS + 8u"),
    Mutant(DEVICE, "WAKING if self._port_has_speed", "DELIMITER if self._port_has_speed"),
    Mutant(
        DEVICE, "LinkError:\n            self._hello_at_start()", "LinkError:\n            raise"
    ),
    Mutant(DEVICE, "        self._session.bits_per_second = baud\n", ""),
    Mutant(SESSION, "        self._lead = lead\n", "        self._lead = lead[:1]\n"),
    # The trainer.
    Mutant(TRAINER, "if (pos != t->next) {", "if (pos > t->next) {"),
    Mutant(TRAINER, "if (pos != t->next) {", "if (pos < t->next) {"),
    Mutant(TRAINER, "        t->next++;\n", "        t->next += t->missing == 0 ? 2u : 1u;\n"),
    Mutant(TRAINER, "        t->missing--;\n        t->next++;", "        t->next++;"),
    Mutant(
        TRAINER,
        "    t->next = bytes_u32(payload + COMMIT_AT_NEXT);\n    t->missing = 0;",
        "    t->missing = 0;",
    ),
    Mutant(TRAINER, "    if (run_id == t->run_id) {", "    if (t->run_id != 0) {"),
    Mutant(
        TRAINER,
        "needs_run(type) && t->run_id == 0",
        "needs_run(type) && t->run_id == 0 && !has_model(t)",
    ),
    Mutant(
        TRAINER,
        "read_region(t, region, pos, payload, count);",
        "read_region(t, region, 0, payload, count);",
    ),
    # A cached run.
    Mutant(TRAINER, "} else if (pos <= t->next && !busy) {", "} else if (!busy) {"),
    Mutant(TRAINER, "t->dataset != mlp_dataset_place(&t->mlp)", "(t->dataset == NULL)"),
    Mutant(TRAINER, "(size_t)((uint8_t *)t->arena + t->arena_bytes - to)", "LINK_PAYLOAD_MAX"),
    Mutant(LINK, "            l->trainer.end = 0;\n", ""),
    Mutant(TRAINER, "BATCH_AT_SIZE)) <= t->next) {", "BATCH_AT_SIZE)) < t->next) {"),
    Mutant(
        TRAINER,
        "crc32_update(loaded, t->dataset, mlp_dataset_bytes(&t->mlp, t->dataset))",
        "(bytes_u32(payload + COMMIT_AT_CRC) | (loaded & 0u))",
    ),
    Mutant(DATASET, "left < m->batch ? left : m->batch", "left < 1u ? left : m->batch"),
    Mutant(DATASET, "position / samples, bytes_u32", "0u, bytes_u32"),
    Mutant(DATASET, ">> at % 8u & mask", ">> at % 8u & (mask >> 1)"),
    # Framing on the device.
    Mutant(COBS, "    d->damaged = false;\n", ""),
    Mutant(COBS, "whole = !d->damaged && d->left == 0", "whole = !d->damaged"),
    Mutant(COBS, "        if (d->code != CODE_FULL) {", "        if (d->code > 1u) {"),
    Mutant(COBS, "if (e->count == COBS_RUN_MAX) {", "if (e->count == COBS_RUN_MAX - 1u) {"),
    Mutant(CRC, "0x1DB71064u", "0x1DB71065u"),
    # State and arithmetic.
    Mutant(STATE, "        offset = 0;\n", ""),
    Mutant(STATE, "    m->size = 0;\n    m->collected = 0;\n", ""),
    Mutant(STATE, "*out++ = half[1];", "*out++ = half[0];"),
    Mutant(TRAIN, "    m->size = 0;\n    m->collected = 0;\n}", "    m->size = 0;\n}"),
    Mutant(STEP, "(int32_t)(r >> (32u - s)), s);\n", "(int32_t)(r >> (33u - s)), s);\n"),
    Mutant(
        KERNELS,
        "acc[j] = bias[first + j] + dot_u8(w, x, n);",
        "acc[j] = bias[first + j] + dot_u8(w, x, n - 1u);",
    ),
    Mutant(STEP, "(int32_t)((r >> 8) & 255u), 8)", "(int32_t)((r >> 8) & 127u), 8)"),
    Mutant(UPDATE, "*step % every == every - 1u", "*step % every == 0"),
    # The host.
    Mutant(SESSION, "if frame.session != self._identity:", "if False:"),
    Mutant(SESSION, "pending.request.end > frame.pos:", "pending.request.pos >= frame.pos:"),
    Mutant(
        SESSION,
        "        self._went_back = False\n        self._expiries = self._fruitless = 0",
        "        self._expiries = self._fruitless = 0",
    ),
    Mutant(
        SESSION,
        "        self._cursor = 0\n        self._restart_pending = True",
        "        self._restart_pending = True",
    ),
    Mutant(SESSION, "self._in_flight_bytes + len(data) > self._window_bytes", "False"),
    Mutant(SESSION, "self._credit(is_whole + self._is_doubted)", "self._credit(1)"),
    Mutant(SESSION, "if sent.is_first and sent.pending in", "if sent.pending in"),
    Mutant(
        SESSION,
        "            self._question_due = True\n",
        "            self._in_flight.clear()\n            self._in_flight_bytes = 0\n"
        "            self._go_back(now)\n",
    ),
    Mutant(
        SESSION,
        "            self._question = None\n            self._go_back(now)\n",
        "            self._question = None\n",
    ),
    Mutant(SESSION, "    return frame.pos == request.pos and (", "    return True or ("),
    Mutant(SESSION, "self._identity = self._identity % 255 + 1", "self._identity = self._identity"),
    Mutant(SESSION, "        self._expiries += 1\n", ""),
    Mutant(FRAMING, "!= zlib.crc32(frame[:end])", "!= zlib.crc32(frame[:end]) and end > 60"),
    Mutant(FRAMING, "        self._rest = rest[-RECEIVED_MAX:]", "        self._rest = b''"),
    Mutant(DEVICE, "        if self.info.boot_id != boot_id:", "        if False:"),
    Mutant(
        DEVICE,
        "            self._renew()\n            data, positions",
        "            data, positions",
    ),
    Mutant(TRAINING, "info.run_id != self._run_id or ", ""),
    Mutant(SESSION, "        self._cursor = 0\n        self._timer_start = now\n\n", "\n"),
    Mutant(DELIVERY, "zlib.crc32(self.region, run_id) or 1", "run_id"),
    Mutant(TRAINING, "info.next < self._checkpoint.position", "False"),
    Mutant(TRAINING, "        self._position = info.next\n", ""),
    Mutant(TRAINING, "if position != self._position:", "if False:"),
    Mutant(TRAINING, "min(self._spacing, reached // 2)", "self._spacing"),
    # The timer of RFC 6298.
    Mutant(SESSION, "- self._variation_s) / 4", "- self._variation_s) / 2"),
    Mutant(
        SESSION,
        "self._mean_s += (seconds - self._mean_s) / 8",
        "self._mean_s = max(self._mean_s, seconds)",
    ),
    Mutant(SESSION, "= seconds, seconds / 2", "= seconds, 0.0"),
    Mutant(SESSION, "self._mean_s + 4 * self._variation_s", "self._mean_s"),
    Mutant(SESSION, "        seconds = min(seconds, ANSWER_TIME_MAX_S)\n", ""),
    Mutant(SESSION, "if newest.times_sent == 1 and newest", "if newest"),
    Mutant(SESSION, "newest.times_sent == 1 and newest.request.type != _TRAIN_TO", "True"),
    Mutant(SESSION, "        self._backoff += 1\n", ""),
    Mutant(
        SESSION,
        "        self._answer_time.note(seconds)\n        self._backoff = 0\n",
        "        self._answer_time.note(seconds)\n",
    ),
    Mutant(SESSION, "        self._answer_time = _AnswerTime()\n        self.w", "        self.w"),
    Mutant(SESSION, "max(base, TIMER_MAX_S)", "TIMER_MAX_S"),
    # Checkpoints on the device.
    Mutant(TRAINER, "(pos == t->next && t->missing == 0) {", "(pos != ~0u && t->missing == 0) {"),
    Mutant(TRAINER, "if (pos == t->next && t->missing == 0) {", "if (pos == t->next) {"),
    Mutant(TRAINER, "    t->save_every = 0;\n", ""),
    Mutant(
        TRAINER,
        "        if (t->missing == 0 && !is_part(type)) {\n            k",
        "        {\n            k",
    ),
    Mutant(KEEP, "% t->save_every == 0", "% t->save_every != 0"),
    Mutant(KEEP, "KEPT_AT_DATASET, size.dataset);", "KEPT_AT_DATASET, 0);"),
    Mutant(KEEP, "- KEPT_HEAD_BYTES - size.state);", "- KEPT_HEAD_BYTES - size.state + 1u);"),
    Mutant(KEEP, "at, bytes, here);", "at & ~31u, bytes, here);"),
    Mutant(KEEP, "|| !is_whole(&newest)) {", "|| (is_whole(&newest) && 0)) {"),
    Mutant(KEEP, "state <= rest && model <= rest - state &&", "model <= rest - state &&"),
    Mutant(KEEP, "        t->next = newest.next;\n", ""),
    Mutant(KEEP, "good && mlp_start(&t->mlp) == STATUS_OK", "good"),
    Mutant(STORE, "!= bytes_u32(payload + bytes)) {", "== 1u) {"),
    Mutant(STORE, "if (seal[i] != FLASH_ERASED) {", "if (seal[i] + seal[0] < 600u) {"),
    Mutant(STORE, "(sealed == newest_sealed ? newer : sealed)", "(newest_sealed ? newer : newer)"),
    Mutant(STORE, "        if (record.generation > found.generation) {", "        if (sealed) {"),
    Mutant(STORE, "{found.generation + 1u, run_id", "{found.newest.generation + 1u, run_id"),
    Mutant(STORE, "(found->bank + 1u) % FLASH_BANKS;", "found->bank;"),
    Mutant(STORE, "flash_erase(bank, 0, flash_bank_bytes())", "bank < FLASH_BANKS"),
    Mutant(STORE, "append_at != 0 && fits(append_at, record->bytes)", "append_at != 0"),
    Mutant(STORE, "memcmp(flash_bank(w->bank) + w->at, w->unit, FLASH_UNIT_BYTES) == 0", "true"),
    Mutant(STORE, "if (s->append_at != 0 && found.newest.run_id", "if (found.newest.run_id"),
    Mutant(STORE, "found.newest.run_id == run_id && found.newest.next", "found.newest.next"),
    Mutant(STORE, "if (s->append_at == 0 && append_at != 0) {", "if (append_at == 1u) {"),
    Mutant(SESSION, "_SAVE and frame.payload[:1] != _ONLY_OK:", "_SAVE and False:"),
    Mutant(SESSION, "_SAVE and frame.payload[:1] != _ONLY_OK:", "_SAVE:"),
    Mutant(DEVICE, "status == Status.BAD_OFFSET and self.info.next != position", "False"),
    Mutant(TRAINING, "        self._saves = False\n        while", "        while"),
    Mutant(TRAINING, "if (info.run_id, info.next) == (run_id, position):", "if True:"),
    # Samples in the device's flash.
    Mutant(TRAINER, "t->dataset) <= t->cache.filled;", "t->dataset) != 0;"),
    # Parts of a batch.
    Mutant(PART, "l < layers && !m->scaled; l++", "l < layers; l++"),
    Mutant(PART, "m->size != 0 && m->collected == m->size", "m->collected == m->size"),
    Mutant(PART, "exponent >= unit - 24 && exponent", "exponent"),
    # Reception: EasyDMA by parts, and what becomes of bytes that DMA leaves out.
    Mutant(UARTE, "        parts[at + i] = BLANK;\n", "        (void)i;\n"),
    Mutant(UARTE, "parts[at + stored - 1u] == BLANK", "parts[at + stored - 1u] == 0"),
    Mutant(UARTE, "  filled = next;\n", "  filled = (uint16_t)((next + 64u) % 4096u);\n"),
    Mutant(UARTE, "    bus_write(SHORTS, SHORTS_ENDRX_STARTRX);\n", ""),
    Mutant(UARTE, "        bus_write(ERRORSRC, errors);\n", ""),
    Mutant(UARTE, "ERRORSRC_FRAMING) != 0", "0xFu) != 0"),
    Mutant(UARTE, "    (void)await(EVENTS_TXSTOPPED);\n", ""),
    Mutant(RECEIVE, "- 2u * PORT_DMA_PART_BYTES;", "- PORT_DMA_PART_BYTES;"),
    Mutant(RECEIVE, "    if (stored > 1u) {", "    if (stored > 0) {"),
    Mutant(RECEIVE, "    if (stored > 1u) {", "    if (stored > 1000u) {"),
    Mutant(RECEIVE, "#ifdef PORT_DMA_STOPS\n    take = 0;\n", "#ifdef PORT_DMA_STOPS\n"),
    Mutant(RECEIVE, "    if (next != take) {\n", "    if (next != at) {\n"),
    Mutant(USART, "        dma_stop();\n", ""),
    Mutant(USART, "(CR3_DMAR | CR3_EIE)", "CR3_DMAR"),
    Mutant(USART, "if (bus_read(USART_BRR) == divider(usart_hz, baud))", "if (usart_hz == 0)"),
    Mutant(USART, "        if ((status & SR_FE) != 0) {", "        if ((status & SR_ORE) != 0) {"),
    Mutant(USART, "        (void)bus_read(USART_RDR);\n", ""),
    Mutant(DMA_L4, "#define CSELR_USART 2u", "#define CSELR_USART 1u"),
    Mutant(DMA_CHANNEL, "(BOARD_USART == 1 ? 5u : 6u)", "6u"),
)  # fmt: skip


class TableError(Exception):
    """A mutant does not apply or does not compile."""


def plant(mutant: Mutant, tree: Path) -> str:
    """Put a bug into a tree; return the text that was there."""
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.right) != 1:
        raise TableError(f"{mutant.file} has {text.count(mutant.right)} times: {mutant.right!r}")
    path.write_text(text.replace(mutant.right, mutant.wrong))
    return text


def copy_to(tree: Path) -> None:
    """Copy what bugs are planted into, and the tests, to a folder that exists."""
    for name in ("firmware", "host", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)


def finders(file: str, seeds: int) -> dict[str, list[str]]:
    """Return what may find a bug in a file, by name, in the order to try: arguments of Python."""
    own = {SESSION: "test_session.py", FRAMING: "test_framing.py", STORE: "test_store.py",
           KEEP: "test_keep.py", TRAINING: "test_training.py",
           PART: "test_device_messages.py"}.get(file, TESTS[0])  # fmt: skip
    tests = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", f"not ({TOO_LONG})"]
    others = [f"tests/{name}" for name in TESTS if name != own]
    if file.startswith(PORTS):
        return {DRIVERS: [*tests, f"tests/{DRIVERS}"]}
    simulation = ["tests/sim/campaign.py", "--seeds", str(seeds), "--until-failure"]
    found = {own: [*tests, f"tests/{own}"], CAMPAIGN: simulation, "other tests": [*tests, *others]}
    if file in (SESSION, FRAMING, PART):
        return found
    return dict(sorted(found.items(), key=lambda item: item[0] != CAMPAIGN))


def finds(tree: Path, arguments: list[str]) -> bool:
    """Return whether a finder fails in a tree.

    Raises:
        TableError: what was planted does not compile.
        subprocess.TimeoutExpired: it never ends.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree / "host")}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True,
        text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    if "CalledProcessError" in result.stdout + result.stderr:
        raise TableError(result.stderr[-2000:])
    return result.returncode != 0


def is_found(tree: Path, seeds: int, file: str = "") -> str:
    """Return what found the bug in a file of a tree, or an empty string."""
    for name, arguments in finders(file, seeds).items():
        try:
            if finds(tree, arguments):
                return name
        except subprocess.TimeoutExpired:
            return f"{name} (never ends)"
    return ""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of some mutants")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="simulated runs a mutant")
    options = parser.parse_args()
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_to(tree)
        if is_found(tree, 20):
            raise TableError("the tests fail without a bug")
        for number, mutant in enumerate(MUTANTS):
            if options.only and number not in options.only:
                continue
            text = plant(mutant, tree)
            by = is_found(tree, options.seeds, mutant.file)
            (tree / mutant.file).write_text(text)
            survivors += not by
            what = " ".join(mutant.wrong.split()) or "(removed) " + " ".join(mutant.right.split())
            print(f"{number:3} {by or 'SURVIVED':24} {mutant.file}: {what}", flush=True)
    print(f"{survivors} of {len(MUTANTS)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
